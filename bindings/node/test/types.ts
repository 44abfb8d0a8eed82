// Checked by the compiler, never run.
import { InferenceSession, LinnetError, QuantizeReport, Tensor, TuneReport, Value, compile, optimize, quantize, tune, version } from '..';

async function main(): Promise<void> {
  const session: InferenceSession = await InferenceSession.create('model.onnx', { intraOpNumThreads: 1 });
  const x = new Tensor('int64', new BigInt64Array(2), [2]);
  const elements: BigInt64Array = x.data;
  const outputs: Record<string, Value> = await session.run({ x }, ['y'], { timeout: 100, signal: AbortSignal.timeout(5) });
  const y = outputs.y;
  if (y instanceof Tensor && y.type === 'float32') console.log(y.dims[0], elements, version);
  session.runSync({ x: new Tensor(new Float32Array(3)) });
  const bound = session.bind({ x: Tensor.allocate('float32', [3]) }, { y: Tensor.allocate('float32', [3]) });
  console.log((await bound.run({ timeout: 5 })).y.dims);
  // @ts-expect-error a type that does not exist
  new Tensor('float31', []);
  // @ts-expect-error a wrong array
  const wrong: Float32Array = x.data;
  // @ts-expect-error sessions come from create
  new InferenceSession();
  const report: QuantizeReport = await quantize('model.onnx', 'model.int8.onnx', {
    scheme: 'static', samples: [{ x }], calibrationMethod: 'percentile', onProgress: (done, total, what) => console.log(done, total, what),
  });
  async function* stream() { yield { x }; }
  await quantize(new Uint8Array(3), new URL('file:///model.onnx'), { scheme: 'weights', method: 'gptq', samples: stream, signal: AbortSignal.timeout(5) });
  const { passes } = await optimize('model.onnx', 'fast.onnx', { floats: 'float16', shapes: { x: [1, 3] } });
  await compile('model.onnx', 'model.linnet', { threads: 1 });
  const tuned: TuneReport = await tune('model.onnx', 'folder', { samples: stream, labels: [1n, 2], threads: [1, 2], prefer: 'size' });
  if (tuned.chosen !== undefined) console.log(tuned.candidates[tuned.points[tuned.chosen].candidate].fate, report.quality?.overall.mean_cosine);
  console.log(report.nodes[0].result, passes[0].changes);
  // @ts-expect-error a scheme that does not exist
  await quantize('model.onnx', 'x', { scheme: 'best' });
  try {
    await session.release();
  } catch (error) {
    if (error instanceof LinnetError && error.code === 'CLOSED') console.log(error.node, wrong);
  }
}
void main;
