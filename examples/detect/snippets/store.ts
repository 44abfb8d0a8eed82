export interface Todo {
  readonly id: number;
  title: string;
  done: boolean;
}

type Listener<T> = (value: T) => void;

export class Store<T extends { id: number }> {
  private items: Map<number, T> = new Map();
  private listeners: Array<Listener<T>> = [];

  subscribe(listener: Listener<T>): () => void {
    this.listeners.push(listener);
    return () => {
      this.listeners = this.listeners.filter((l) => l !== listener);
    };
  }

  put(item: T): void {
    this.items.set(item.id, item);
    this.listeners.forEach((l) => l(item));
  }

  get(id: number): T | undefined {
    return this.items.get(id);
  }
}

const todos: Store<Todo> = new Store<Todo>();
todos.subscribe((t: Todo) => console.log(t.title as string));
todos.put({ id: 1, title: "write tests", done: false });
