import 'package:linnet/linnet.dart';

Future<void> main(List<String> arguments) async {
  final model = await Linnet.open(arguments.isEmpty ? 'model.onnx' : arguments.first);
  final inputs = {
    for (final port in model.inputs)
      port.name: Tensor.zeros(port.dtype, [for (final size in port.shape ?? const <int?>[]) size ?? 1]) // open sizes
  };
  final outputs = await model.run(inputs);
  for (final name in outputs.names) {
    print('$name: ${outputs.value(name)}');
  }
  model.close();
}
