// Checked by the compiler, never run.
import { InferenceSession, LinnetError, Tensor, Value, version } from '..';

async function main(): Promise<void> {
  const session: InferenceSession = await InferenceSession.create('model.onnx', { intraOpNumThreads: 1 });
  const x = new Tensor('int64', new BigInt64Array(2), [2]);
  const elements: BigInt64Array = x.data;
  const outputs: Record<string, Value> = await session.run({ x }, ['y'], { timeout: 100, signal: AbortSignal.timeout(5) });
  const y = outputs.y;
  if (y instanceof Tensor && y.type === 'float32') console.log(y.dims[0], elements, version);
  session.runSync({ x: new Tensor(new Float32Array(3)) });
  // @ts-expect-error a type that does not exist
  new Tensor('float31', []);
  // @ts-expect-error a wrong array
  const wrong: Float32Array = x.data;
  // @ts-expect-error sessions come from create
  new InferenceSession();
  try {
    await session.release();
  } catch (error) {
    if (error instanceof LinnetError && error.code === 'CLOSED') console.log(error.node, wrong);
  }
}
void main;
