#import <Foundation/Foundation.h>

@interface Stack : NSObject

@property (nonatomic, readonly) NSUInteger count;

- (void)push:(id)object;
- (nullable id)pop;

@end

@implementation Stack {
    NSMutableArray *_items;
}

- (instancetype)init {
    self = [super init];
    if (self) {
        _items = [[NSMutableArray alloc] init];
    }
    return self;
}

- (NSUInteger)count {
    return [_items count];
}

- (void)push:(id)object {
    [_items addObject:object];
}

- (id)pop {
    id last = [_items lastObject];
    if (last) {
        [_items removeLastObject];
    }
    return last;
}

@end

int main(int argc, const char *argv[]) {
    @autoreleasepool {
        Stack *stack = [[Stack alloc] init];
        [stack push:@"one"];
        NSLog(@"%@", [stack pop]);
    }
    return 0;
}
