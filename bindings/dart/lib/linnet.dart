/// Runs ONNX models on the device, without a network and without blocking the app.
///
/// ```dart
/// final model = await Linnet.open('model.onnx');
/// final outputs = await model.run({'image': Tensor.float32(pixels, [1, 3, 224, 224])});
/// print(outputs['scores'].floats);
/// model.close();
/// ```
///
/// A failure is a [LinnetException]; its subclasses tell what kind of failure.
library;

export 'src/binding.dart' show Binding;
export 'src/calls.dart' show Progress;
export 'src/cancel_token.dart' show CancelToken;
export 'src/dtype.dart' show DType;
export 'src/engine.dart' show Engine;
export 'src/exceptions.dart' hide exceptionFor;
export 'src/language_detector.dart' show DetectedLanguage, LanguageDetector;
export 'src/linnet.dart' show Linnet;
export 'src/model.dart' show LinnetModel, SharedModel;
export 'src/outputs.dart' show Outputs;
export 'src/port.dart' show Port, ValueKind;
export 'src/quality.dart' show Explain, Quality;
export 'src/quantization.dart' hide QuantizationOf;
export 'src/tuning.dart' show TuneCandidate, TuneLimits, TuneMeasure, TunePreference, TuneReport;
export 'src/value.dart' show MapValue, MapsValue, NoValue, SequenceValue, Tensor, Value;
