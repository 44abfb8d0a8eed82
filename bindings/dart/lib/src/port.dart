import 'dart:ffi';

import 'dtype.dart';
import 'native.dart' as native;
import 'text.dart';

/// What a model takes or gives in one place.
enum ValueKind { none, tensor, sequence, map, optional }

/// An input or output of a model: its name, and what may be there.
final class Port {
  const Port(this.name, this.kind, this.content, this.dtype, this.keyDtype, this.shape, this.sizeNames);

  final String name;
  final ValueKind kind;

  /// What a sequence or optional holds; else [kind].
  final ValueKind content;

  /// The type of the elements; of a map, of its values.
  final DType dtype;

  /// The type of a map's keys.
  final DType keyDtype;

  /// The sizes, outermost first; `null` for one that each run may choose. `null` when even their number is open.
  final List<int?>? shape;

  /// Beside [shape]: the model's own names of open sizes, such as `batch`, else `''`.
  final List<String> sizeNames;

  factory Port.read(native.NativePort port) {
    final ranked = port.ranked != 0;
    final shape = [
      if (ranked)
        for (var i = 0; i < port.rank; ++i) port.shape[i] < 0 ? null : port.shape[i]
    ];
    return Port(
        textAt(port.name),
        ValueKind.values[port.kind],
        ValueKind.values[port.content],
        DType.of(port.dtype),
        DType.of(port.keyDtype),
        ranked ? List.unmodifiable(shape) : null,
        List.unmodifiable([for (var i = 0; i < shape.length; ++i) textAt(port.sizeNames[i])]));
  }

  @override
  String toString() {
    final sizes = shape;
    final text = sizes == null
        ? '[...]'
        : '[${[for (var i = 0; i < sizes.length; ++i) sizes[i] ?? (sizeNames[i].isEmpty ? '?' : sizeNames[i])].join(', ')}]';
    return switch (kind) {
      ValueKind.tensor => '$name: ${dtype.name} $text',
      ValueKind.map => '$name: map of ${keyDtype.name} to ${dtype.name}',
      _ => '$name: ${kind.name} of ${content.name} ${dtype.name}',
    };
  }
}
