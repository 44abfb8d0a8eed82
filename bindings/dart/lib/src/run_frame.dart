import 'dart:ffi';
import 'dart:typed_data';

import 'native.dart' as native;
import 'native_value.dart';
import 'text.dart';

/// The native memory that a run's parameters are in: options, handles of inputs and outputs, names of outputs.
final class RunFrame {
  factory RunFrame(int inputs, List<String> names) {
    final texts = [for (final name in names) nulTerminated(name)];
    final size = _optionsSize + _word * (inputs + 2 * names.length) + texts.fold<int>(0, (sum, t) => sum + t.length);
    final block = NativeBytes(size);
    final frame = RunFrame._(block, inputs, names);
    frame.options.ref.structSize = sizeOf<native.NativeRunOptions>();
    var at = size - texts.fold<int>(0, (sum, t) => sum + t.length);
    for (var i = 0; i < names.length; ++i) {
      block.list.setAll(at, texts[i]);
      frame.outputNames[i] = block.at.address + at;
      at += texts[i].length;
    }
    return frame;
  }

  RunFrame._(this._block, this._inputCount, this.names)
      : inputs = (_block.at + _optionsSize).cast(),
        outputs = (_block.at + (_optionsSize + _word * _inputCount)).cast(),
        outputNames = (_block.at + (_optionsSize + _word * (_inputCount + names.length))).cast();

  static final int _word = sizeOf<UintPtr>();
  static final int _optionsSize = (sizeOf<native.NativeRunOptions>() + 7) & ~7;

  final NativeBytes _block;
  final int _inputCount;

  /// Of the outputs.
  final List<String> names;

  final Pointer<UintPtr> inputs;
  final Pointer<UintPtr> outputs;
  final Pointer<UintPtr> outputNames;
  Pointer<native.NativeRunOptions> get options => _block.at.cast();

  void clear() {
    for (var i = 0; i < _inputCount + names.length; ++i) {
      inputs[i] = 0;
    }
  }

  void close() => _block.close();
}
