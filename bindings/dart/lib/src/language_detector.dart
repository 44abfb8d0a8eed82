import 'dart:convert';
import 'dart:io';
import 'dart:math';
import 'dart:typed_data';

import 'exceptions.dart';
import 'linnet.dart';
import 'model.dart';
import 'value.dart';

/// What [LanguageDetector] thinks a text is.
final class DetectedLanguage {
  const DetectedLanguage(this.label, this.description, this.confidence);

  /// A short name such as `python` or `markdown`; `txt` for text of no particular language, `unknown` for other data,
  /// `empty` for nothing at all.
  final String label;

  /// A name for people, such as `Python source`.
  final String description;

  /// From 0 to 1.
  final double confidence;

  @override
  String toString() => '$label (${(100 * confidence).toStringAsFixed(1)} %)';
}

/// Tells which programming or markup language a text is written in, with the model of Google's magika.
///
/// ```dart
/// final detector = await LanguageDetector.open('magika');
/// print(await detector.detect('def add(a, b):\n    return a + b\n'));  // python
/// detector.close();
/// ```
///
/// What is done around the model follows version 1.0 of the Python package (https://github.com/google/magika), in its
/// default mode "high confidence".
final class LanguageDetector {
  LanguageDetector._(this._model, this._settings);

  final LinnetModel _model;
  final _Settings _settings;

  /// [folder] has the package's `model.onnx`, `config.min.json` and `content_types_kb.min.json`.
  static Future<LanguageDetector> open(String folder) async {
    final String config, contentTypes;
    try {
      config = await File('$folder/config.min.json').readAsString();
      contentTypes = await File('$folder/content_types_kb.min.json').readAsString();
    } on FileSystemException catch (e) {
      throw LinnetNotFound('$folder is not the folder of the language model: ${e.path}: ${e.osError?.message ?? e.message}');
    }
    return LanguageDetector._(await Linnet.open('$folder/model.onnx'), _Settings.parse(config, contentTypes));
  }

  /// The same from the contents of those files, such as Flutter assets.
  static Future<LanguageDetector> openBytes(
          {required Uint8List model, required String config, required String contentTypes}) async =>
      LanguageDetector._(await Linnet.openBytes(model, name: 'magika'), _Settings.parse(config, contentTypes));

  /// Detects the language of a text. The isolate stays responsive meanwhile.
  Future<DetectedLanguage> detect(String text) => detectBytes(utf8.encode(text));

  /// Detects the language of a file's content.
  Future<DetectedLanguage> detectBytes(Uint8List content) async {
    if (content.isEmpty) return _settings.answer('empty', 1);
    final tokens = _settings.tokensOf(content);
    if (tokens == null) {
      final start = Uint8List.sublistView(content, 0, min(content.length, _settings.blockSize));
      return _settings.answer(_isUtf8(start) ? 'txt' : 'unknown', 1);
    }
    final outputs = await _model.run({
      'bytes': Tensor.int32(tokens, [1, tokens.length])
    });
    return _settings.answerOf(outputs['target_label'].floats);
  }

  /// Gives the model's memory back.
  void close() => _model.close();
}

/// The package's tables, and what is computed with them.
final class _Settings {
  _Settings._(Map<String, dynamic> config, this._types)
      : _startSize = config['beg_size'] as int,
        _endSize = config['end_size'] as int,
        blockSize = config['block_size'] as int,
        _leastBytes = config['min_file_size_for_dl'] as int,
        _padding = config['padding_token'] as int,
        _confidence = (config['medium_confidence_threshold'] as num).toDouble(),
        _thresholds = (config['thresholds'] as Map<String, dynamic>).cast<String, num>(),
        _overwrite = (config['overwrite_map'] as Map<String, dynamic>).cast<String, String>(),
        _labels = (config['target_labels_space'] as List<dynamic>).cast<String>() {
    if (config['mid_size'] != 0 || config['use_inputs_at_offsets'] != false) {
      throw const LinnetUnsupported('the language model wants inputs that LanguageDetector does not make');
    }
  }

  factory _Settings.parse(String config, String contentTypes) {
    try {
      return _Settings._(
          json.decode(config) as Map<String, dynamic>, json.decode(contentTypes) as Map<String, dynamic>);
    } on FormatException catch (e) {
      throw LinnetInvalidArgument('the tables of the language model are no JSON: ${e.message}');
    } on TypeError catch (e) {
      throw LinnetInvalidArgument('the tables of the language model are not those of magika 1.0: $e');
    }
  }

  final int blockSize;
  final int _startSize, _endSize, _leastBytes, _padding;
  final double _confidence;
  final Map<String, num> _thresholds;
  final Map<String, String> _overwrite;
  final List<String> _labels;
  final Map<String, dynamic> _types;

  /// The model's input: the first and the last bytes of the content without the white space around it, padded in the
  /// middle. `null` when they are too few to ask the model.
  Int32List? tokensOf(Uint8List content) {
    if (content.length < _leastBytes) return null;
    var start = 0, end = content.length;
    final startLimit = min(content.length, blockSize), endLimit = max(0, content.length - blockSize);
    while (start < startLimit && _isSpace(content[start])) {
      ++start;
    }
    while (end > endLimit && _isSpace(content[end - 1])) {
      --end;
    }
    if (startLimit - start < _leastBytes) return null;
    final startCount = min(startLimit - start, _startSize), endCount = min(end - endLimit, _endSize);
    return Int32List(_startSize + _endSize)
      ..fillRange(0, _startSize + _endSize, _padding)
      ..setRange(0, startCount, content, start)
      ..setRange(_startSize + _endSize - endCount, _startSize + _endSize, content, end - endCount);
  }

  DetectedLanguage answerOf(Float32List scores) {
    if (scores.length != _labels.length) {
      throw const LinnetInvalidArgument('the language model and its tables do not belong together');
    }
    var best = 0;
    for (var i = 1; i < scores.length; ++i) {
      if (scores[i] > scores[best]) best = i;
    }
    final seen = _labels[best];
    final label = _overwrite[seen] ?? seen;
    if (scores[best] >= (_thresholds[seen] ?? _confidence)) return answer(label, scores[best]);
    return answer((_types[label] as Map<String, dynamic>)['is_text'] == true ? 'txt' : 'unknown', scores[best]);
  }

  DetectedLanguage answer(String label, double confidence) {
    final description = (_types[label] as Map<String, dynamic>?)?['description'];
    return DetectedLanguage(label, description is String ? description : label, confidence);
  }

  // What Python's bytes.strip() takes off.
  static bool _isSpace(int byte) => byte == 32 || (byte >= 9 && byte <= 13);
}

bool _isUtf8(Uint8List bytes) {
  try {
    utf8.decode(bytes);
    return true;
  } on FormatException {
    return false;
  }
}
