import Foundation

protocol Storage {
    associatedtype Key: Hashable
    associatedtype Value
    func value(for key: Key) -> Value?
}

final class Cache<Key: Hashable, Value>: Storage {
    private var entries: [Key: (value: Value, expires: Date)] = [:]
    private let lifetime: TimeInterval

    init(lifetime: TimeInterval = 60) {
        self.lifetime = lifetime
    }

    func value(for key: Key) -> Value? {
        guard let entry = entries[key], entry.expires > Date() else {
            return nil
        }
        return entry.value
    }

    func store(_ value: Value, for key: Key) {
        entries[key] = (value, Date().addingTimeInterval(lifetime))
    }
}

let cache = Cache<String, Int>()
cache.store(42, for: "answer")
if let answer = cache.value(for: "answer") {
    print("the answer is \(answer)")
}
