/// The search for the form of a model that suits limits.
library;

import 'dart:convert';

/// What may be lost is the loss of. Outputs are compared with those of the model that is tuned.
enum TuneMeasure { cosine, top1, accuracy }

/// What is wanted of the result, among what keeps the limits.
enum TunePreference { speed, size, quality, memory }

/// What the result of `Linnet.tune` has to keep. Null: anything.
final class TuneLimits {
  const TuneLimits({this.maxLoss = 0.01, this.p95, this.maxBytes, this.maxMemory});

  /// What the measure may lose beside the model itself; 0: nothing.
  final double maxLoss;

  /// That 95 of 100 runs take at most.
  final Duration? p95;

  /// Of the model's files.
  final int? maxBytes;

  /// Bytes that the engine reserves.
  final int? maxMemory;
}

/// One way to write the model.
final class TuneCandidate {
  TuneCandidate._(Map<String, Object?> json)
      : arguments = List.unmodifiable((json['arguments']! as List<Object?>).cast<String>()),
        fate = json['fate']! as String,
        reason = json['reason'] as String?;

  /// Of the command `linnet`.
  final List<String> arguments;

  /// `timed`, or why it was given up, with [reason].
  final String fate;
  final String? reason;

  @override
  String toString() => '${arguments.join(' ')}: ${reason ?? fate}';
}

/// All that was tried. The folder has the same in `manifest.json`, for the chosen model.
final class TuneReport {
  TuneReport.read(String json) : this._(jsonDecode(json) as Map<String, Object?>);
  TuneReport._(Map<String, Object?> json)
      : this._of(json, List.unmodifiable([
          for (final candidate in json['candidates']! as List<Object?>) TuneCandidate._(candidate! as Map<String, Object?>)
        ]), (json['chosen'] as int?) == null ? null : (json['points']! as List<Object?>)[json['chosen']! as int]! as Map<String, Object?>);
  TuneReport._of(Map<String, Object?> json, this.candidates, Map<String, Object?>? point)
      : chosen = point == null ? null : candidates[point['candidate']! as int],
        threads = point?['threads'] as int?,
        command = json['command'] as String?,
        beyond = json['beyond'] as String?;

  final List<TuneCandidate> candidates;

  /// That which was written; null where nothing keeps the limits, and [beyond] says by how much the nearest fails.
  final TuneCandidate? chosen;

  /// For which it was chosen.
  final int? threads;

  /// The command that writes the chosen model again.
  final String? command;
  final String? beyond;

  @override
  String toString() => '${candidates.length} candidates, ${chosen ?? 'none within the limits'}';
}
