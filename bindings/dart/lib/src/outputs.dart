import 'exceptions.dart';
import 'value.dart';

/// What a run gave, by name.
final class Outputs {
  const Outputs(this._model, this._values);

  final String _model;
  final Map<String, Value> _values;

  Iterable<String> get names => _values.keys;

  /// The output as a tensor, which nearly all are.
  Tensor operator [](String name) => switch (value(name)) {
        final Tensor tensor => tensor,
        final other => throw LinnetInvalidArgument('the output "$name" is a ${other.runtimeType}; read it with .value()',
            model: _model),
      };

  /// The output, which may be a sequence, a map or nothing.
  Value value(String name) =>
      _values[name] ??
      (throw LinnetNotFound('there is no output "$name"; there are: ${names.join(', ')}', model: _model));

  /// Gives the memory of all outputs back now; see [Tensor.close].
  void close() {
    for (final value in _values.values) {
      if (value is Tensor) value.close();
      if (value is SequenceValue) value.elements.forEach(_close);
    }
  }

  static void _close(Tensor tensor) => tensor.close();

  @override
  String toString() => '$_values';
}
