const std = @import("std");

const Node = struct {
    value: u32,
    next: ?*Node = null,
};

pub fn sum(first: ?*const Node) u64 {
    var total: u64 = 0;
    var at = first;
    while (at) |node| : (at = node.next) {
        total += node.value;
    }
    return total;
}

pub fn main() !void {
    var gpa = std.heap.GeneralPurposeAllocator(.{}){};
    defer _ = gpa.deinit();
    const allocator = gpa.allocator();

    const tail = try allocator.create(Node);
    defer allocator.destroy(tail);
    tail.* = .{ .value = 2 };
    var head = Node{ .value = 40, .next = tail };
    const stdout = std.io.getStdOut().writer();
    try stdout.print("sum: {d}\n", .{sum(&head)});
}

test "an empty list" {
    try std.testing.expectEqual(@as(u64, 0), sum(null));
}
