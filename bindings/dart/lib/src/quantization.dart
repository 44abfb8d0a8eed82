/// Ways to make a model smaller, and what is told of the result.
library;

import 'dart:convert';

import 'dtype.dart';
import 'exceptions.dart';
import 'quality.dart';
import 'value.dart';

/// Who can load an optimized model.
enum OptimizationLevel {
  /// The graph as it is.
  none,

  /// Everybody: operators of the standard alone.
  basic,

  /// Who knows the operators of com.microsoft, too, as ONNX Runtime does.
  extended,

  /// Linnet alone.
  all,
}

/// How ranges of activations are chosen from what samples tell.
enum CalibrationMethod { minmax, entropy, percentile, mse }

/// How weights in blocks are rounded.
enum BlockMethod {
  /// To the nearest.
  nearest,

  /// With zero points that suit most weights of a block.
  hqq,

  /// So that weights make up for each other's errors, by what the model computes for samples.
  gptq,
}

/// A scheme for `Linnet.quantize`.
sealed class Quantization {
  const Quantization();
}

/// 8-bit weights; activations are quantised as they are computed. For transformers and recurrent models; needs nothing.
final class DynamicQuantization extends Quantization {
  /// [weightType]: [DType.int8] or [DType.uint8]; [symmetricWeights]: null by the type. [perChannel]: a scale for each
  /// output channel. [reduceRange]: 7 bits, for runtimes whose sums saturate.
  const DynamicQuantization(
      {this.weightType = DType.int8, this.symmetricWeights, this.perChannel = false, this.reduceRange = false});

  final DType weightType;
  final bool? symmetricWeights;
  final bool perChannel;
  final bool reduceRange;
}

/// Weights and activations are integers, by ranges that are measured on samples. For convolutional models.
final class StaticQuantization extends DynamicQuantization {
  /// [samples]: inputs by name, as they occur in use. They are asked for one at a time, so that a lazy list (`sync*`)
  /// need not fit into memory; [StaticQuantization.stream] takes those that are read from files.
  StaticQuantization(Iterable<Map<String, Value>> samples,
      {super.weightType,
      super.symmetricWeights,
      super.perChannel,
      super.reduceRange,
      this.activationType = DType.int8,
      this.symmetricActivations = false,
      this.integerOperators = false,
      this.method = CalibrationMethod.minmax,
      this.percentile = 99.999,
      this.numBins = 128,
      this.numQuantizedBins = 128,
      this.movingAverage = false,
      this.symmetricRange = false,
      this.smooth = false,
      this.smoothAlpha = 0.5,
      this.biasCorrection = true,
      this.equalise = false})
      : samples = (() => Stream.fromIterable(samples));

  /// Calls [samples] for a stream each time that they are needed: once, or twice with [smooth].
  const StaticQuantization.stream(this.samples,
      {super.weightType,
      super.symmetricWeights,
      super.perChannel,
      super.reduceRange,
      this.activationType = DType.int8,
      this.symmetricActivations = false,
      this.integerOperators = false,
      this.method = CalibrationMethod.minmax,
      this.percentile = 99.999,
      this.numBins = 128,
      this.numQuantizedBins = 128,
      this.movingAverage = false,
      this.symmetricRange = false,
      this.smooth = false,
      this.smoothAlpha = 0.5,
      this.biasCorrection = true,
      this.equalise = false});

  final Stream<Map<String, Value>> Function() samples;

  /// [DType.int8], [DType.uint8], [DType.int16] or [DType.uint16].
  final DType activationType;
  final bool symmetricActivations;

  /// Operators on integers instead of QuantizeLinear and DequantizeLinear around those on floats.
  final bool integerOperators;
  final CalibrationMethod method;

  /// Of elements that a range covers, for [CalibrationMethod.percentile].
  final double percentile;

  /// For [CalibrationMethod.entropy].
  final int numBins;
  final int numQuantizedBins;

  /// For [CalibrationMethod.minmax]: the mean of the samples' ranges, not their union.
  final bool movingAverage;
  final bool symmetricRange;

  /// Channels of what MatMul and Gemm read become alike first; [smoothAlpha] says how much of the activations' outliers
  /// goes into the weights.
  final bool smooth;
  final double smoothAlpha;

  /// Biases make up for what rounding the weights does to means.
  final bool biasCorrection;

  /// Channels of convolutions behind each other become alike first.
  final bool equalise;
}

/// Weights in blocks of few bits; everything else stays in floats. For language models.
final class WeightQuantization extends Quantization {
  /// [bits]: 4 or 8. [blockSize]: weights that share a scale, a power of two from 16 to 256. [embeddings]: tables, too.
  /// [accuracyLevel] 4 lets a runtime round activations to 8 bits. [searchRanges]: ranges narrower than the weights
  /// where that has less errors. [samples], [damping] and [largestFirst] are for [BlockMethod.gptq].
  const WeightQuantization(
      {this.bits = 4,
      this.blockSize = 32,
      this.symmetric = true,
      this.method = BlockMethod.nearest,
      this.searchRanges = false,
      this.embeddings = false,
      this.accuracyLevel = 0,
      this.samples,
      this.damping = 0.05,
      this.largestFirst = false});

  final int bits;
  final int blockSize;
  final bool symmetric;
  final BlockMethod method;
  final bool searchRanges;
  final bool embeddings;
  final int accuracyLevel;
  final Stream<Map<String, Value>> Function()? samples;
  final double damping;
  final bool largestFirst;
}

/// For this package.
extension QuantizationOf on Quantization {
  Stream<Map<String, Value>> Function()? get sampleStream => switch (this) {
        StaticQuantization(:final samples) => samples,
        WeightQuantization(:final samples, :final method) => (samples != null) == (method == BlockMethod.gptq)
            ? samples
            : throw const LinnetInvalidArgument('samples are for BlockMethod.gptq, which needs them'),
        DynamicQuantization() => null,
      };
}

/// What optimizing did.
final class OptimizeReport {
  OptimizeReport.read(String json) : this._(jsonDecode(json) as Map<String, Object?>);
  OptimizeReport._(Map<String, Object?> json)
      : nodesBefore = json['nodes_before']! as int,
        nodesAfter = json['nodes_after']! as int,
        bytesBefore = json['bytes_before']! as int,
        bytesAfter = json['bytes_after']! as int,
        changes = {
          for (final pass in json['passes']! as List<Object?>)
            (pass! as Map<String, Object?>)['pass']! as String: (pass as Map<String, Object?>)['changes']! as int
        };

  final int nodesBefore;
  final int nodesAfter;
  final int bytesBefore;
  final int bytesAfter;

  /// How often each rewrite changed something.
  final Map<String, int> changes;

  @override
  String toString() => '$nodesBefore nodes became $nodesAfter, $bytesBefore bytes $bytesAfter';
}

/// What became of a node.
final class QuantizedNode {
  QuantizedNode._(Map<String, Object?> json)
      : node = json['node']! as String,
        result = json['result'] as String?,
        reason = json['reason'] as String?,
        weightSnr = json.containsKey('weight_snr_db')
            ? ((json['weight_snr_db'] as num?)?.toDouble() ?? double.infinity)
            : null,
        cosineAlone = ((json['alone'] as Map<String, Object?>?)?['mean_cosine'] as num?)?.toDouble();

  /// Its path.
  final String node;

  /// The operator that it became; null: it stays.
  final String? result;

  /// Why it stays.
  final String? reason;

  /// Of its weights, signal to noise in decibels; infinite when they are exact.
  final double? weightSnr;

  /// Of the model's outputs where this node alone is quantised, if [Explain] asked for it.
  final double? cosineAlone;

  @override
  String toString() => '$node: ${result ?? 'stays, $reason'}';
}

/// What quantising did.
final class QuantizeReport {
  QuantizeReport.read(String json) : this._(jsonDecode(json) as Map<String, Object?>);
  QuantizeReport._(Map<String, Object?> json)
      : quantized = json['quantized']! as int,
        bytesBefore = json['bytes_before']! as int,
        bytesAfter = json['bytes_after']! as int,
        quality = switch (json['quality']) { final Map<String, Object?> told => Quality.of(told), _ => null },
        nodes = List.unmodifiable(
            [for (final node in json['nodes']! as List<Object?>) QuantizedNode._(node! as Map<String, Object?>)]);

  /// Nodes.
  final int quantized;
  final int bytesBefore;
  final int bytesAfter;
  final List<QuantizedNode> nodes;

  /// Beside the model as it was, if [Explain] asked for it.
  final Quality? quality;

  @override
  String toString() => '$quantized of ${nodes.length} nodes quantised, $bytesBefore bytes became $bytesAfter';
}
