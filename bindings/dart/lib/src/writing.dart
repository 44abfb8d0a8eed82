import 'dart:async';
import 'dart:ffi';
import 'dart:typed_data';

import 'calls.dart';
import 'cancel_token.dart';
import 'dtype.dart';
import 'engine.dart';
import 'exceptions.dart';
import 'library.dart';
import 'load_options.dart';
import 'native.dart' as native;
import 'native_value.dart';
import 'quality.dart';
import 'quantization.dart';
import 'status.dart';
import 'text.dart';
import 'tuning.dart';
import 'value.dart';
import 'words.dart';

/// A call that writes a model, with what all of them are given.
final class Writing {
  Writing(this._from, this._to, this._sizes, this._withoutPasses, this._threads, this._cancel, this._onProgress);

  final String _from;
  final String _to;
  final Map<String, int> _sizes;
  final List<String> _withoutPasses;
  final int _threads;
  final CancelToken? _cancel;
  final Progress? _onProgress;

  String get _name => fileName(_from);

  /// Starts the call with [start], on an engine of its own, and gives what [finish] makes of its task.
  Future<T> _write<T>(
      int Function(int engine, native.NativeSource source, int load, Pointer<Uint8> path,
              native.NativeCompletion completion, NativeTexts texts)
          start,
      T Function(int task) finish,
      {SampleGiver? sample}) {
    ensureLibrary();
    final texts = NativeTexts();
    final load = LoadOptions(sizes: _sizes, withoutPasses: _withoutPasses, cancel: _cancel);
    try {
      final engine = Engine(threads: _threads);
      try {
        final source = newSource()..path = texts.path(_from);
        final path = texts.path(_to);
        return callAsync(
            _name, (completion) => start(engine.handle, source, load.handle, path, completion, texts), finish,
            onProgress: _onProgress, sample: sample);
      } finally {
        engine.close();
      }
    } finally {
      texts.close(); // the task has its own copy of all that
      load.close();
    }
  }

  Future<OptimizeReport> optimize(OptimizationLevel level, Map<String, List<int>> shapes, DType? floats,
          bool convertIo, List<String> keepFloat, int externalFrom) async =>
      _write((engine, source, load, path, completion, texts) {
        final options = Struct.create<native.NativeOptimizeOptions>()
          ..structSize = sizeOf<native.NativeOptimizeOptions>()
          ..floats = floats?.onnx ?? 0
          ..convertIo = convertIo ? 1 : 0
          ..keepFloat = texts.texts(keepFloat)
          ..keepFloatCount = keepFloat.length
          ..externalFrom = externalFrom
          ..shapedInputs = texts.texts(shapes.keys)
          ..shapes = texts.lists(shapes.values)
          ..ranks = texts.words([for (final shape in shapes.values) shape.length])
          ..shapeCount = shapes.length
          ..cancel = _cancel?.handle ?? 0;
        return native.optimizeAsync(engine, source.address, level.index, load, options.address, path,
            completion.address, received.bytes.address.cast());
      }, (task) => OptimizeReport.read(_report(task)));

  Future<void> compile() async => _write(
      (engine, source, load, path, completion, texts) => native.compileAsync(
          engine, source.address, load, path, completion.address, received.bytes.address.cast()),
      (_) {});

  Future<QuantizeReport> quantize(
      Quantization scheme, List<String> include, List<String> exclude, Explain? explain) async {
    final calibration = scheme.sampleStream;
    final stream = calibration ?? explain?.samples;
    if (explain != null && (stream == null || (calibration != null && explain.samples != null))) {
      throw const LinnetInvalidArgument('explaining takes samples: those to calibrate with, or else its own');
    }
    final samples = stream == null ? null : _Samples(stream, _name);
    try {
      return await _write((engine, source, load, path, completion, texts) {
        final options = Struct.create<native.NativeQuantizeOptions>()
          ..structSize = sizeOf<native.NativeQuantizeOptions>()
          ..include = texts.texts(include)
          ..includeCount = include.length
          ..exclude = texts.texts(exclude)
          ..excludeCount = exclude.length
          ..cancel = _cancel?.handle ?? 0;
        _fill(options, scheme, texts);
        if (explain != null) _explain(options, explain, texts);
        return native.quantizeAsync(engine, source.address, load, options.address, path, completion.address,
            received.bytes.address.cast());
      }, (task) => QuantizeReport.read(_report(task)), sample: samples?.next);
    } finally {
      samples?.close();
    }
  }

  /// [_to] is the folder.
  Future<TuneReport> tune(
      Stream<Map<String, Value>> Function() stream,
      Stream<Map<String, Value>> Function()? calibration,
      String? output,
      TuneLimits limits,
      TuneMeasure? measure,
      TunePreference preference,
      List<int> labels,
      List<int> threads,
      Duration budget,
      bool resume,
      String? samplePath,
      String? calibrationPath) async {
    final samples = _Samples(stream, _name);
    final others = calibration == null ? null : _Samples(calibration, _name);
    try {
      return await _write((engine, source, load, folder, completion, texts) {
        final options = Struct.create<native.NativeTuneOptions>()
          ..structSize = sizeOf<native.NativeTuneOptions>()
          ..folder = folder
          ..maxLoss = limits.maxLoss
          ..noLoss = _flag(limits.maxLoss == 0)
          ..p95Ms = limits.p95 == null ? 0 : _positive(limits.p95!.inMicroseconds / 1000, 'p95')
          ..maxBytes = limits.maxBytes == null ? 0 : _positive(limits.maxBytes!, 'maxBytes')
          ..maxMemory = limits.maxMemory == null ? 0 : _positive(limits.maxMemory!, 'maxMemory')
          ..prefer = texts.text(preference.name)
          ..labels = texts.numbers(labels)
          ..labelCount = labels.length
          ..threads = texts.words([for (final count in threads) _positive(count, 'threads')])
          ..threadCount = threads.length
          ..budgetSeconds = _positive(budget.inMicroseconds / 1e6, 'budget')
          ..resume = _flag(resume)
          ..postCalibration = _flag(others != null)
          ..cancel = _cancel?.handle ?? 0;
        if (output != null) options.output = texts.path(output);
        if (measure != null) options.measure = texts.text(measure.name);
        if (samplePath != null) options.samplePath = texts.path(samplePath);
        if (calibrationPath != null) options.calibrationPath = texts.path(calibrationPath);
        return native.tuneAsync(
            engine, source.path, options.address, completion.address, received.bytes.address.cast());
      }, (task) => TuneReport.read(_report(task)),
          sample: (pass, names) => pass < 0 ? others!.next(-1 - pass, names) : samples.next(pass, names));
    } finally {
      samples.close();
      others?.close();
    }
  }

  String _report(int task) {
    check(native.taskReport(task, received.bytes.address.cast()), model: _name);
    final report = received[0];
    final text = textAt(native.valueString(report, 0, nullptr));
    native.release(report);
    return text;
  }

  static int _flag(bool value) => value ? 1 : 0;

  // Zeros would stand for the defaults.
  static T _positive<T extends num>(T value, String name) =>
      value > 0 ? value : throw LinnetInvalidArgument('$name is $value; it must be above 0');

  // What was left alone is not passed on: it has a use in any case.
  static T _changed<T extends num>(T value, T standard, String name) =>
      _positive(value, name) == standard ? (value is int ? 0 : 0.0) as T : value;

  static void _explain(native.NativeQuantizeOptions options, Explain explain, NativeTexts texts) {
    if (explain.sensitivity < 0) throw const LinnetInvalidArgument('sensitivity is a number of nodes');
    options
      ..explain = 1
      ..labels = texts.numbers(explain.labels)
      ..labelCount = explain.labels.length
      ..sensitivity = explain.sensitivity
      ..onlyFaster = _flag(explain.onlyFaster);
    if (explain.labelOutput case final name?) options.labelOutput = texts.text(name);
  }

  static void _fill(native.NativeQuantizeOptions options, Quantization scheme, NativeTexts texts) {
    switch (scheme) {
      case WeightQuantization():
        options
          ..scheme = 2
          ..weightSymmetry = scheme.symmetric ? 1 : 2
          ..bits = _positive(scheme.bits, 'bits')
          ..block = _positive(scheme.blockSize, 'blockSize')
          ..method = texts.text(scheme.method.name)
          ..searchRanges = _flag(scheme.searchRanges)
          ..embeddings = _flag(scheme.embeddings)
          ..accuracyLevel = scheme.accuracyLevel
          ..damping = _changed(scheme.damping, 0.05, 'damping')
          ..actOrder = _flag(scheme.largestFirst);
      case DynamicQuantization():
        options
          ..scheme = scheme is StaticQuantization ? 1 : 0
          ..weightType = scheme.weightType.onnx
          ..weightSymmetry = switch (scheme.symmetricWeights) { null => 0, true => 1, false => 2 }
          ..perChannel = _flag(scheme.perChannel)
          ..reduceRange = _flag(scheme.reduceRange);
        if (scheme is! StaticQuantization) return;
        options
          ..activationType = scheme.activationType.onnx
          ..activationSymmetric = _flag(scheme.symmetricActivations)
          ..qOperator = _flag(scheme.integerOperators)
          ..calibrationMethod = texts.text(scheme.method.name)
          ..percentile = _changed(scheme.percentile, 99.999, 'percentile')
          ..numBins = _changed(scheme.numBins, 128, 'numBins')
          ..numQuantizedBins = _changed(scheme.numQuantizedBins, 128, 'numQuantizedBins')
          ..movingAverage = _flag(scheme.movingAverage)
          ..symmetricRange = _flag(scheme.symmetricRange)
          ..smooth = _flag(scheme.smooth)
          ..smoothAlpha = _changed(scheme.smoothAlpha, 0.5, 'smoothAlpha')
          ..keepBiases = _flag(!scheme.biasCorrection)
          ..equalise = _flag(scheme.equalise);
    }
  }
}

/// Samples on their way into a task, one at a time.
final class _Samples {
  _Samples(this._begin, this._model);

  final Stream<Map<String, Value>> Function() _begin;
  final String _model;
  StreamIterator<Map<String, Value>>? _iterator;
  int _pass = -1;

  Future<Words?> next(int pass, List<String> names) async {
    if (pass != _pass) {
      close();
      _iterator = StreamIterator(_begin());
      _pass = pass;
    }
    if (!await _iterator!.moveNext()) return null;
    final sample = _iterator!.current;
    final unknown = sample.keys.where((name) => !names.contains(name));
    if (unknown.isNotEmpty) {
      throw LinnetInvalidArgument('the model has no input "${unknown.first}"; it has: ${names.join(', ')}', model: _model);
    }
    final handles = Words(names.length);
    try {
      for (final (i, name) in names.indexed) {
        if (sample[name] case final value?) handles[i] = _ownHandle(value);
      }
    } catch (_) {
      for (var i = 0; i < names.length; ++i) {
        native.release(handles[i]);
      }
      rethrow;
    }
    return handles;
  }

  static int _ownHandle(Value value) {
    final made = <int>[];
    final handle = handleOf(value, made);
    for (final other in made) {
      if (other != handle) native.release(other);
    }
    if (made.isNotEmpty) return handle;
    check(native.valueShare(handle, received.bytes.address.cast()));
    return received[0];
  }

  /// Ends a stream that was not read to its end; what it throws then has nobody to go to.
  void close() => unawaited(_iterator?.cancel().then<void>((_) {}, onError: (_) {}));
}
