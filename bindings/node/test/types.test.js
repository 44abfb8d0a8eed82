'use strict';
const assert = require('node:assert');
const test = require('node:test');
const { InferenceSession, Tensor } = require('..');
const { model } = require('./common.js');

const identity = async (tensor) => {
  const session = await InferenceSession.create(model(`identity_${tensor.type}`));
  return [(await session.run({ x: tensor })).y, session.runSync({ x: tensor }).y];
};

const DATA = {
  float32: [1.5, -2, 0, 3], uint8: [0, 1, 255, 7], int8: [-128, 127, 0, 1], uint16: [0, 65535, 1, 2], int16: [-32768, 32767, 0, 1],
  int32: [-(2 ** 31), 2 ** 31 - 1, 0, 1], int64: [-(2n ** 63n), 2n ** 63n - 1n, 0n, 1n], string: ['', 'a', 'äöü', '日本'], bool: [0, 1, 1, 0],
  float64: [1e300, -0.5, 0, 1], uint32: [0, 2 ** 32 - 1, 1, 2], uint64: [0n, 2n ** 64n - 1n, 1n, 2n],
  complex64: [1, 2, 3, 4, 5, 6, 7, 8], complex128: [1, 2, 3, 4, 5, 6, 7, 8], bfloat16: [0x3f80, 0, 1, 2],
  float8e4m3fn: [1, 2, 3, 4], float8e4m3fnuz: [1, 2, 3, 4], float8e5m2: [1, 2, 3, 4], float8e5m2fnuz: [1, 2, 3, 4],
  uint4: [0x21, 0x43], int4: [0xf1, 0x8e], float4e2m1: [0x12, 0x34],
};
for (const [type, data] of Object.entries(DATA)) {
  test(type, async () => {
    const tensor = new Tensor(type, data, [2, 2]);
    for (const result of await identity(tensor)) {
      assert.strictEqual(result.type, type);
      assert.deepStrictEqual(result.dims, [2, 2]);
      assert.deepStrictEqual(result.data, tensor.data);
    }
  });
}

test('an empty tensor', async () => {
  for (const result of await identity(new Tensor('float32', [], [0, 2]))) assert.deepStrictEqual([result.size, result.data.length], [0, 0]);
});

test('a large output is native memory that goes back in without a copy', async () => {
  const session = await InferenceSession.create(model('identity_float32'));
  const x = Tensor.allocate('float32', [50_000, 2]);
  x.data[99_999] = 7;
  const { y } = await session.run({ x });
  assert.strictEqual(y.data[99_999], 7);
  x.data[99_999] = 8;
  assert.strictEqual(y.data[99_999], 7, 'an output shares no memory with an input');
  assert.strictEqual((await session.run({ x: y })).y.data[99_999], 7);
});

test('buffers that are sent away', async () => {
  const session = await InferenceSession.create(model('identity_float32'));
  const x = new Tensor('float32', new Float32Array(100_000).fill(3), [50_000, 2]);
  const running = session.run({ x });
  structuredClone(x.data, { transfer: [x.data.buffer] });
  assert.strictEqual((await running).y.data[99_999], 3);
  await assert.rejects(session.run({ x }), { name: 'RangeError' });
  assert.throws(() => session.runSync({ x }), { code: 'INVALID_ARGUMENT' });
});

test('sequences', async () => {
  const session = await InferenceSession.create(model('sequence'));
  const one = new Tensor('float32', [1, 2], [2]);
  const { t } = await session.run({ s: [one, one], x: new Tensor('float32', [3], [1]) });
  assert.deepStrictEqual(t.map((tensor) => [...tensor.data]), [[1, 2], [1, 2], [3]]);
  assert.strictEqual((await session.run({ s: [], x: one })).t.length, 1);
  assert.strictEqual(session.inputMetadata[0].type, 'seq(float32)');
});

test('maps', async () => {
  const vectorise = await InferenceSession.create(model('vectorise'));
  assert.deepStrictEqual([...(await vectorise.run({ m: new Map([[5, 2.5], [9, 1]]) })).y.data], [0, 2.5, 1]);
  const zip = await InferenceSession.create(model('zipmap'));
  assert.deepStrictEqual((await zip.run({ x: new Tensor('float32', [0.25, 0.75], [1, 2]) })).maps, [new Map([['cat', 0.25], ['dog', 0.75]])]);
});

test('what is no tensor', () => {
  for (const wrong of [
    () => new Tensor('float31', [1]), () => new Tensor('float32', [1, 2], [3]), () => new Tensor('float32', [1], [-1]),
    () => new Tensor('float32', new Int32Array(2)), () => new Tensor('int64', ['x']), () => new Tensor('int64', [1.5]),
    () => new Tensor('string', [1]), () => new Tensor([1, 2]), () => new Tensor(), () => Tensor.allocate('string', [1]),
    () => Tensor.allocate('float32', [2 ** 40, 2 ** 40]),
  ]) assert.throws(wrong, { code: 'INVALID_ARGUMENT' });
  const tensor = new Tensor(new Float32Array(2));
  tensor.dispose();
  assert.throws(() => tensor.data, { code: 'CLOSED' });
});
