/// What quantising or tuning costs, told of samples.
library;

import 'value.dart';

/// Asks `Linnet.quantize` for a look at what it does: the model and the quantised one run on samples, and the report has
/// quality and what single nodes cost.
final class Explain {
  /// [samples]: null where those to calibrate with serve; all are kept in memory. [labels]: the right answer of each
  /// sample, the index of the greatest element of [labelOutput], or its number. [sensitivity]: so many nodes, those of
  /// the noisiest weights first, are quantised alone. [onlyFaster]: nodes that take longer than before on this machine
  /// stay in floats.
  const Explain(
      {this.samples, this.labels = const [], this.labelOutput, this.sensitivity = 0, this.onlyFaster = false});

  final Stream<Map<String, Value>> Function()? samples;
  final List<int> labels;
  final String? labelOutput;
  final int sensitivity;
  final bool onlyFaster;
}

/// How near a model's outputs are to those of the model that it was made from: the worst of the outputs, by each measure.
final class Quality {
  Quality.of(Map<String, Object?> json)
      : this._(json['samples']! as int, json['overall']! as Map<String, Object?>, json['task'] as Map<String, Object?>?);
  Quality._(this.samples, Map<String, Object?> overall, Map<String, Object?>? task)
      : meanCosine = _number(overall['mean_cosine']),
        maxAbsError = _number(overall['max_abs_error']),
        top1Agreement = _number(overall['top1_agreement']),
        equal = _number(overall['equal']),
        accuracy = _number(task?['accuracy']),
        referenceAccuracy = _number(task?['reference_accuracy']);

  static double? _number(Object? value) => (value as num?)?.toDouble();

  final int samples;

  /// Of floats; so are [maxAbsError] and, of rows, [top1Agreement]: the share whose greatest element is at the same place.
  final double? meanCosine;
  final double? maxAbsError;
  final double? top1Agreement;

  /// Of all others: the share of equal elements.
  final double? equal;

  /// The share of samples with the right label, of the model and of that which it was made from.
  final double? accuracy;
  final double? referenceAccuracy;

  @override
  String toString() => 'cosine $meanCosine over $samples samples';
}
