import 'dart:ffi';
import 'dart:typed_data';

import 'calls.dart';
import 'cancel_token.dart';
import 'dtype.dart';
import 'engine.dart';
import 'library.dart';
import 'load_options.dart';
import 'model.dart';
import 'native.dart' as native;
import 'native_value.dart';
import 'quality.dart';
import 'quantization.dart';
import 'status.dart';
import 'text.dart';
import 'tuning.dart';
import 'value.dart';
import 'words.dart';
import 'writing.dart';

/// Opens models.
abstract final class Linnet {
  /// Loads the native library from a path, in an app that does not bundle it: once, before anything else. Other isolates
  /// of the app have it then, too. Throws [LinnetLibraryMissing], and a [StateError] where another one is in use.
  static void loadLibrary(String path) => ensureLibrary(path);

  /// The version of the native library.
  static String get version {
    ensureLibrary();
    return textAt(native.version());
  }

  /// Whether this build on this machine has a feature, such as `isa:avx2` or `op:ai.onnx.Conv`.
  static bool hasFeature(String name) {
    ensureLibrary();
    return native.hasFeature(nulTerminated(name).address) != 0;
  }

  /// Native objects that are open in this process: for tests that look for leaks.
  static int get openHandles {
    ensureLibrary();
    return native.openHandles();
  }

  /// Opens the model in a file, also one of [compile]. The work is done on other threads.
  ///
  /// [sizes]: open sizes of the inputs, by name, that become these. [cacheFolder]: what opening computes is kept there,
  /// so that the next start is quick. [cancel] ends it with [LinnetCancelled].
  static Future<LinnetModel> open(String path,
      {Engine? engine, Map<String, int> sizes = const {}, String? cacheFolder, CancelToken? cancel}) async {
    ensureLibrary();
    final texts = NativeTexts();
    final options = LoadOptions(sizes: sizes, cacheFolder: cacheFolder, cancel: cancel);
    try {
      return await _load(fileName(path), newSource()..path = texts.path(path), options, engine ?? Engine.standard);
    } finally {
      texts.close();
      options.close();
    }
  }

  /// Opens a model that is in memory, such as a Flutter asset or what was encrypted on the disk; the bytes are copied
  /// once, as one block. [externalData]: the content of the files that the model keeps weights in, by the names that it
  /// has for them. [name] is what exceptions call the model. The rest as for [open].
  static Future<LinnetModel> openBytes(Uint8List bytes,
      {Engine? engine,
      String name = 'model',
      Map<String, Uint8List> externalData = const {},
      Map<String, int> sizes = const {},
      CancelToken? cancel}) async {
    ensureLibrary();
    final options = LoadOptions(sizes: sizes, externalData: externalData, cancel: cancel);
    final block = NativeBytes(bytes.length)..list.setAll(0, bytes);
    final source = newSource()
      ..data = block.at
      ..size = bytes.length
      ..release = native.releaseAddress
      ..user = block.handle;
    try {
      final loading = _load(name, source, options, engine ?? Engine.standard);
      block.giveAway();
      return loading;
    } finally {
      options.close();
    }
  }

  /// Rewrites the model in the file [from] into a faster one, and writes that to the file [to]: whole or not at all. The
  /// work is done on other threads.
  ///
  /// [level] says who can load the result. [sizes] and [shapes]: open sizes, by name, and inputs' shapes that become
  /// these. [withoutPasses]: rewrites to leave out. [floats]: [DType.float16] or [DType.bfloat16], what float32 becomes,
  /// with [convertIo] at inputs and outputs, too; [keepFloat]: operators, and nodes by name, that stay. Weights of at
  /// least [externalFrom] bytes go to a file beside the model. [threads] as for [Engine]. [onProgress] is told of each
  /// stage; what it throws ends the call, and [cancel] ends it with [LinnetCancelled].
  static Future<OptimizeReport> optimize(String from, String to,
          {OptimizationLevel level = OptimizationLevel.extended,
          Map<String, int> sizes = const {},
          Map<String, List<int>> shapes = const {},
          List<String> withoutPasses = const [],
          DType? floats,
          bool convertIo = false,
          List<String> keepFloat = const [],
          int externalFrom = 0,
          int threads = 0,
          CancelToken? cancel,
          Progress? onProgress}) =>
      Writing(from, to, sizes, withoutPasses, threads, cancel, onProgress)
          .optimize(level, shapes, floats, convertIo, keepFloat, externalFrom);

  /// Writes the model in the file [from] as it is after opening, for this version of Linnet: [open] takes the file
  /// [to], and it starts at once. The rest as for [optimize].
  static Future<void> compile(String from, String to,
          {Map<String, int> sizes = const {},
          List<String> withoutPasses = const [],
          int threads = 0,
          CancelToken? cancel,
          Progress? onProgress}) =>
      Writing(from, to, sizes, withoutPasses, threads, cancel, onProgress).compile();

  /// Writes the model in the file [from] in lower precision, which makes it smaller and often faster, to the file [to].
  ///
  /// [include] and [exclude]: nodes by name, operator or pattern (`*` any characters, `?` one); without [include], all
  /// that the scheme knows. [explain]: what it does to the model joins the report. The rest as for [optimize].
  static Future<QuantizeReport> quantize(String from, String to, Quantization scheme,
          {List<String> include = const [],
          List<String> exclude = const [],
          Explain? explain,
          Map<String, int> sizes = const {},
          int threads = 0,
          CancelToken? cancel,
          Progress? onProgress}) =>
      Writing(from, to, sizes, const [], threads, cancel, onProgress).quantize(scheme, include, exclude, explain);

  /// Searches for the form of the model in the file [model] that suits [limits] on this machine: levels, precisions,
  /// schemes, nodes that stay in floats, numbers of [threads]. Writes it to [output], or `model.onnx` in the [folder],
  /// which gets a manifest and what is known so far. The result of a search that has ended is replaced, that of one that
  /// was interrupted is not.
  ///
  /// [samples]: inputs by name, to judge by, all kept in memory; [calibration]: others to calibrate with. [measure]: accuracy with [labels], the samples' right answers, else
  /// cosine. After [budget] nothing new is begun; [resume] goes on with a search in the folder. [samplePath] and
  /// [calibrationPath]: where the command line finds the samples, for the command in the report.
  static Future<TuneReport> tune(String model, String folder, Stream<Map<String, Value>> Function() samples,
          {Stream<Map<String, Value>> Function()? calibration,
          String? output,
          TuneLimits limits = const TuneLimits(),
          TuneMeasure? measure,
          TunePreference preference = TunePreference.speed,
          List<int> labels = const [],
          List<int> threads = const [1],
          Duration budget = const Duration(minutes: 5),
          bool resume = false,
          String? samplePath,
          String? calibrationPath,
          CancelToken? cancel,
          Progress? onProgress}) =>
      Writing(model, folder, const {}, const [], 1, cancel, onProgress)
          .tune(samples, calibration, output, limits, measure, preference, labels, threads, budget, resume, samplePath,
              calibrationPath);

  static Future<LinnetModel> _load(String name, native.NativeSource source, LoadOptions options, Engine engine) =>
      callAsync(
          name,
          (completion) => native.modelLoadAsync(engine.handle, source.address, options.handle, completion.address,
              received.bytes.address.cast()), (task) {
        check(native.taskModel(task, received.bytes.address.cast()), model: name);
        return LinnetModel.ofHandle(name, received[0]);
      });
}
