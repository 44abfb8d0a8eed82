import 'dart:ffi';
import 'dart:typed_data';

import 'binding.dart';
import 'calls.dart';
import 'cancel_token.dart';
import 'exceptions.dart';
import 'library.dart';
import 'native.dart' as native;
import 'native_value.dart';
import 'outputs.dart';
import 'port.dart';
import 'run_frame.dart';
import 'status.dart';
import 'text.dart';
import 'value.dart';
import 'words.dart';

/// A model that is ready to run. `Linnet.open` gives one; [close] gives its memory back.
final class LinnetModel implements Finalizable {
  LinnetModel._(this.name, this._model, this._session, this.inputs, this.outputs)
      : _inputNumbers = {for (var i = 0; i < inputs.length; ++i) inputs[i].name: i},
        _frame = RunFrame(inputs.length, [for (final port in outputs) port.name]);

  /// Takes [model] over when it is [owned]; for this package.
  factory LinnetModel.ofHandle(String name, int model, {bool owned = true}) {
    try {
      check(native.sessionCreate(0, model, received.bytes.address.cast()), model: name);
      final session = received[0];
      final made = LinnetModel._(name, owned ? model : 0, session, _ports(model, native.modelInputCount(model), true),
          _ports(model, native.modelOutputCount(model), false));
      for (var i = 0; i < native.modelMetadataCount(model); ++i) {
        final key = native.modelMetadataKey(model, i);
        made._metadata[textAt(key)] = textAt(native.modelMetadata(model, key));
      }
      releaser.attach(made, Pointer.fromAddress(session), detach: made, externalSize: native.modelBytes(model));
      if (owned) releaser.attach(made, Pointer.fromAddress(model), detach: made);
      return made;
    } catch (_) {
      if (owned) native.release(model);
      rethrow;
    }
  }

  /// The file name, which exceptions mention.
  final String name;

  /// What the model takes and gives, in the model's order.
  final List<Port> inputs;
  final List<Port> outputs;

  final Map<String, int> _inputNumbers;
  final RunFrame _frame;
  final Map<String, String> _metadata = {};
  final int _model; // 0: another isolate's
  final int _session;
  bool _closed = false;

  /// The native handle, for measurements of this package.
  int get session => _session;

  /// What the file says about itself: `producer_name`, `description`, `opset:ai.onnx`, its own entries.
  Map<String, String> get metadata => Map.unmodifiable(_metadata);

  /// Runs the model on other threads; the isolate stays responsive meanwhile.
  ///
  /// [inputs] by name; an optional one may be left out. [outputs] names those that are wanted, among them inner values
  /// of the model (default: all of the model's). An output that is named in [into] is written to that tensor's memory,
  /// which must be one of [Tensor.zeros] with the right type and shape. A run ends early with [LinnetCancelled] when
  /// [cancel] is cancelled, and with [LinnetTimeout] when it has not ended [timeout] after the call.
  Future<Outputs> run(Map<String, Value> inputs,
      {List<String>? outputs, Map<String, Tensor>? into, CancelToken? cancel, Duration? timeout}) async {
    final call = _Prepared(this, inputs, outputs, into, cancel, timeout);
    final frame = call.frame;
    final Future<Outputs> ended;
    try {
      ended = callAsync(
          name,
          (completion) => native.sessionRunAsync(
              _session,
              frame.options,
              nullptr,
              frame.inputs,
              this.inputs.length,
              frame.outputNames,
              frame.outputs,
              frame.names.length,
              completion.address,
              received.bytes.address.cast()),
          (task) => Outputs(name, {
                for (final (i, output) in frame.names.indexed) output: into?[output] ?? _outputOf(task, i),
              }));
    } finally {
      call.end(); // the task has its own copy of all that
    }
    return ended;
  }

  /// Runs the model and returns when it has ended. The isolate waits meanwhile: [run] is the one for apps with a screen.
  Outputs runSync(Map<String, Value> inputs,
      {List<String>? outputs, Map<String, Tensor>? into, CancelToken? cancel, Duration? timeout}) {
    final call = _Prepared(this, inputs, outputs, into, cancel, timeout);
    final frame = call.frame;
    try {
      check(
          native.sessionRun(_session, frame.options, nullptr, frame.inputs, this.inputs.length, frame.outputNames,
              frame.outputs, frame.names.length),
          model: name);
      return Outputs(name, {
        for (final (i, output) in frame.names.indexed) output: into?[output] ?? valueOf(frame.outputs[i]),
      });
    } finally {
      call.end();
    }
  }

  Value _outputOf(int task, int i) {
    check(native.taskOutput(task, i, received.bytes.address.cast()), model: name);
    return valueOf(received[0]);
  }

  /// Inputs that stay where they are from run to run, and outputs in [into] that are always written to the same memory:
  /// for many runs of the same shapes.
  Binding bind(Map<String, Value> inputs, {Map<String, Tensor> into = const {}}) {
    _requireOpen();
    return Binding.of(this, inputs, into);
  }

  /// For another isolate: send it, and there call [SharedModel.open].
  SharedModel share() {
    _requireOpen();
    return SharedModel._(name, _model);
  }

  /// Gives memory that no run uses back to the system, for instance when the app goes to the background.
  void trim() {
    _requireOpen();
    native.sessionTrim(_session);
  }

  /// Gives the model's memory back. Runs that are under way end as if it were open; to start one is a [LinnetClosed].
  /// Closing twice does nothing.
  void close() {
    if (_closed) return;
    _closed = true;
    releaser.detach(this);
    native.release(_session);
    if (_model != 0) native.release(_model);
    _frame.close();
  }

  void _requireOpen() {
    if (_closed) throw LinnetClosed('the model is closed', model: name);
  }

  static List<Port> _ports(int model, int count, bool areInputs) {
    final port = Struct.create<native.NativePort>()..structSize = sizeOf<native.NativePort>();
    return List.generate(count, (i) {
      check(areInputs ? native.modelInput(model, i, port.address) : native.modelOutput(model, i, port.address));
      return Port.read(port);
    }, growable: false);
  }

  @override
  String toString() => '$name(${inputs.join(', ')}) -> (${outputs.join(', ')})';
}

/// The native form of one call, and what has to live until it ends.
final class _Prepared implements Finalizable {
  _Prepared(LinnetModel model, this._values, List<String>? outputs, this._into, this._cancel, Duration? timeout)
      : _model = model {
    model._requireOpen();
    frame = outputs == null ? model._frame : RunFrame(model.inputs.length, outputs);
    try {
      frame.clear();
      for (final MapEntry(key: name, :value) in _values.entries) {
        final number = model._inputNumbers[name];
        if (number == null) {
          throw LinnetInvalidArgument('the model has no input "$name"; it has: ${model._inputNumbers.keys.join(', ')}',
              model: model.name);
        }
        frame.inputs[number] = handleOf(value, _made);
      }
      _into?.forEach((name, tensor) {
        final number = frame.names.indexOf(name);
        if (number < 0 || tensor.handle == 0) {
          throw LinnetInvalidArgument(
              number < 0
                  ? 'there is no output "$name"; there are: ${frame.names.join(', ')}'
                  : 'the output "$name" can only be written into a tensor of Tensor.zeros',
              model: model.name);
        }
        frame.outputs[number] = tensor.handle;
      });
      if (timeout != null && timeout <= Duration.zero) {
        throw LinnetInvalidArgument('the timeout is $timeout; it must be positive', model: model.name);
      }
      frame.options.ref
        ..cancel = _cancel?.handle ?? 0
        ..timeoutMs = timeout == null ? 0 : (timeout.inMicroseconds + 999) ~/ 1000;
    } catch (_) {
      end();
      rethrow;
    }
  }

  final LinnetModel _model;
  final Map<String, Value> _values;
  final Map<String, Tensor>? _into;
  final CancelToken? _cancel;
  final List<int> _made = [];
  late final RunFrame frame;

  void end() {
    for (final handle in _made) {
      native.release(handle);
    }
    _made.clear();
    if (!identical(frame, _model._frame)) frame.close();
  }
}

/// A model as it is sent to another isolate. The isolates run it at the same time, and its weights exist once.
final class SharedModel {
  const SharedModel._(this._name, this._model);

  final String _name;
  final int _model;

  /// The model in this isolate. The one that was shared must still be open; later it may be closed at any time.
  LinnetModel open() {
    ensureLibrary();
    return LinnetModel.ofHandle(_name, _model, owned: false);
  }
}
