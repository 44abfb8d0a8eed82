import 'dart:ffi';

import 'calls.dart';
import 'cancel_token.dart';
import 'exceptions.dart';
import 'model.dart';
import 'native.dart' as native;
import 'native_value.dart';
import 'outputs.dart';
import 'status.dart';
import 'text.dart';
import 'value.dart';
import 'words.dart';

/// Inputs and outputs of a model that stay from run to run: a second run of the same shapes neither allocates nor
/// copies. `LinnetModel.bind` gives one. It is one run at a time.
final class Binding implements Finalizable {
  /// For this package.
  Binding.of(this._model, Map<String, Value> inputs, Map<String, Tensor> into) {
    check(native.bindingCreate(_model.session, received.bytes.address.cast()), model: _model.name);
    _binding = received[0];
    releaser.attach(this, Pointer.fromAddress(_binding), detach: this);
    try {
      inputs.forEach(setInput);
      into.forEach(setOutput);
    } catch (_) {
      close();
      rethrow;
    }
  }

  final LinnetModel _model;
  late final int _binding;
  final Map<String, Tensor> _into = {};
  final native.NativeRunOptions _options = Struct.create<native.NativeRunOptions>()
    ..structSize = sizeOf<native.NativeRunOptions>();
  bool _closed = false;

  /// A tensor of [Tensor.zeros] is used where it lies: what is written to its list is seen by the next run. Other values
  /// are copied now.
  void setInput(String name, Value value) {
    _requireOpen();
    final made = <int>[];
    try {
      final handle = handleOf(value, made);
      check(native.bindingSetInput(_binding, nulTerminated(name).address, handle), model: _model.name);
    } finally {
      made.forEach(native.release);
    }
  }

  /// The output is written to the memory of [tensor], one of [Tensor.zeros] with the right type and shape; null, which
  /// is where it starts: to memory that is made once and kept.
  void setOutput(String name, Tensor? tensor) {
    _requireOpen();
    if (tensor != null && tensor.handle == 0) {
      throw LinnetInvalidArgument('the output "$name" can only be written into a tensor of Tensor.zeros',
          model: _model.name);
    }
    check(native.bindingSetOutput(_binding, nulTerminated(name).address, tensor?.handle ?? 0), model: _model.name);
    if (tensor == null) {
      _into.remove(name);
    } else {
      _into[name] = tensor;
    }
  }

  /// Runs the model on other threads. The outputs show the memory that the next run of the same shapes writes to.
  Future<Outputs> run({CancelToken? cancel, Duration? timeout}) async {
    _prepare(cancel, timeout);
    final into = {..._into};
    return callAsync(
        _model.name,
        (completion) => native.bindingRunAsync(
            _binding, _options.address, completion.address, received.bytes.address.cast()),
        (task) => _outputs(into, (i) => native.taskOutput(task, i, received.bytes.address.cast())));
  }

  /// As [run], but the isolate waits.
  Outputs runSync({CancelToken? cancel, Duration? timeout}) {
    _prepare(cancel, timeout);
    check(_runHere(), model: _model.name);
    return _outputs(
        _into,
        (i) => native.bindingOutput(
            _binding, nulTerminated(_model.outputs[i].name).address, received.bytes.address.cast()));
  }

  // A call that may take long is lent no memory of Dart's.
  int _runHere() {
    final block = NativeBytes(sizeOf<native.NativeRunOptions>());
    try {
      block.at.cast<native.NativeRunOptions>().ref
        ..structSize = _options.structSize
        ..cancel = _options.cancel
        ..timeoutMs = _options.timeoutMs
        ..profile = 0;
      return native.bindingRun(_binding, block.at.cast());
    } finally {
      block.close();
    }
  }

  void _prepare(CancelToken? cancel, Duration? timeout) {
    _requireOpen();
    if (timeout != null && timeout <= Duration.zero) {
      throw LinnetInvalidArgument('the timeout is $timeout; it must be positive', model: _model.name);
    }
    _options
      ..cancel = cancel?.handle ?? 0
      ..timeoutMs = timeout == null ? 0 : (timeout.inMicroseconds + 999) ~/ 1000;
  }

  Outputs _outputs(Map<String, Tensor> into, int Function(int i) read) => Outputs(_model.name, {
        for (final (i, port) in _model.outputs.indexed) port.name: into[port.name] ?? _output(read(i)),
      });

  Value _output(int status) {
    check(status, model: _model.name);
    return valueOf(received[0], shares: true);
  }

  /// Gives the memory back that the binding keeps. A run that is under way ends as if it were open. Closing twice does
  /// nothing.
  void close() {
    if (_closed) return;
    _closed = true;
    releaser.detach(this);
    native.release(_binding);
  }

  void _requireOpen() {
    if (_closed) throw LinnetClosed('the binding is closed', model: _model.name);
  }
}
