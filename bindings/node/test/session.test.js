'use strict';
const assert = require('node:assert');
const { spawnSync } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const test = require('node:test');
const { Worker } = require('node:worker_threads');
const { InferenceSession, LinnetError, Tensor, version } = require('..');
const { bytes, model } = require('./common.js');

const ones = () => new Tensor('float32', new Float32Array(3).fill(1), [3]);
const feeds = () => ({ a: ones(), b: ones() });
const endless = (count = 10n ** 8n) => ({ count: new Tensor('int64', [count], []), x: new Tensor('float32', new Float32Array(4096), [64, 64]) });

test('a model from a path, a URL and bytes', async () => {
  for (const source of [model('add'), require('node:url').pathToFileURL(model('add')), bytes('add'), new Uint8Array(bytes('add')).buffer]) {
    const session = await InferenceSession.create(source, { intraOpNumThreads: 1, freeDimensionOverrides: { n: 3 } });
    assert.deepStrictEqual([session.inputNames, session.outputNames], [['a', 'b'], ['y', 'z']]);
    assert.deepStrictEqual(session.inputMetadata[0], { name: 'a', type: 'float32', shape: [3], isTensor: true });
    assert.deepStrictEqual([...(await session.run(feeds())).z.data], [-2, -2, -2]);
  }
  assert.match(version, /^\d+\.\d+\.\d+$/);
});

test('outputs by name, and into tensors', async () => {
  const session = await InferenceSession.create(model('add'));
  assert.deepStrictEqual(Object.keys(await session.run(feeds(), ['z'])), ['z']);
  for (const z of [ones(), Tensor.allocate('float32', [3])]) {
    assert.strictEqual((await session.run(feeds(), { z, y: null })).z, z);
    assert.strictEqual(z.data[0], -2);
    z.data.fill(0);
    assert.strictEqual(session.runSync(feeds(), { z }).z.data[2], -2);
  }
  await assert.rejects(session.run(feeds(), { z: new Tensor('float32', [0], [1]) }), { code: 'INVALID_ARGUMENT' });
});

test('errors', async () => {
  const session = await InferenceSession.create(model('add'));
  const fails = (promise, code) => assert.rejects(promise, (error) => error instanceof LinnetError && error.code === code && error.message.length > 0);
  await fails(InferenceSession.create('/nowhere/model.onnx'), 'NOT_FOUND');
  await fails(InferenceSession.create(new Uint8Array([1, 2, 3])), 'INVALID_MODEL');
  await fails(InferenceSession.create(7), 'INVALID_ARGUMENT');
  await assert.rejects(session.run({ a: ones() }), { code: 'INVALID_ARGUMENT', message: /'b' is missing/ });
  await assert.rejects(session.run({}), { code: 'INVALID_ARGUMENT', message: /'a' is missing/ });
  await fails(session.run({ ...feeds(), b: new Tensor('float32', [1, 2], [2]) }), 'INVALID_ARGUMENT');
  await fails(session.run({ ...feeds(), b: new Tensor('int32', [1, 2, 3], [3]) }), 'INVALID_ARGUMENT');
  await fails(session.run({ ...feeds(), b: 'text' }), 'INVALID_ARGUMENT');
  await fails(session.run(null), 'INVALID_ARGUMENT');
  await fails(session.run(feeds(), {}, { timeout: 'soon' }), 'INVALID_ARGUMENT');
  assert.throws(() => session.runSync({ a: ones() }), LinnetError);
  assert.strictEqual((await session.run(feeds())).y.data[0], 2);
  await session.release();
  await session.release();
  await fails(session.run(feeds()), 'CLOSED');
});

test('a binding', async () => {
  const session = await InferenceSession.create(model('neg'));
  const x = Tensor.allocate('float32', [2, 3]), y = Tensor.allocate('float32', [2, 3]);
  const binding = session.bind({ x }, { y });
  for (const [i, run] of [(b) => b.run(), (b) => b.runSync(), (b) => b.run({ timeout: 9000, signal: new AbortController().signal })].entries()) {
    x.data.fill(i + 1);
    const outputs = await run(binding);
    assert.strictEqual(outputs.y, y);
    assert.deepStrictEqual([...y.data], Array(6).fill(-i - 1));
  }
  const other = Tensor.allocate('float32', [1, 3]);
  binding.setInput('x', other);
  await assert.rejects(binding.run(), { code: 'INVALID_ARGUMENT' }); // y has another shape
  assert.throws(() => binding.runSync(), { code: 'INVALID_ARGUMENT' });
  binding.setOutput('y', Tensor.allocate('float32', [1, 3]));
  assert.strictEqual((await binding.run()).y.data[0], -0);
  assert.throws(() => session.bind({ x: new Tensor('float32', [1, 2, 3], [1, 3]) }), { code: 'INVALID_ARGUMENT', message: /Tensor.allocate/ });
  assert.throws(() => session.bind({ q: x }), { code: 'NOT_FOUND' });
  assert.throws(() => session.bind({ x }, { q: y }), { code: 'NOT_FOUND' });
  assert.throws(() => session.bind({ x: null }), { code: 'INVALID_ARGUMENT' });
  await assert.rejects(session.bind({}).run(), { code: 'INVALID_ARGUMENT', message: /'x' is missing/ });
  await assert.rejects(binding.run({ timout: 1 }), { code: 'INVALID_ARGUMENT' });
  await assert.rejects(binding.run({ signal: AbortSignal.abort(new Error('mine')) }), { message: 'mine' });
  const slow = await InferenceSession.create(model('slow'));
  const count = Tensor.allocate('int64', []), v = Tensor.allocate('float32', [64, 64]);
  count.data[0] = 10n ** 8n;
  const long = slow.bind({ count, x: v });
  const abort = new AbortController();
  const run = long.run({ signal: abort.signal });
  assert.throws(() => long.runSync(), { code: 'INVALID_ARGUMENT' }); // one at a time
  assert.throws(() => long.setInput('x', v), { code: 'INVALID_ARGUMENT' });
  long.release();
  await slow.release();
  abort.abort();
  await assert.rejects(run, { name: 'AbortError' });
  await assert.rejects(long.run(), { code: 'CLOSED' });
  await session.release();
  assert.throws(() => session.bind({ x }), { code: 'CLOSED' });
  assert.strictEqual(binding.runSync().y.dims[0], 1); // it keeps what it needs
});

test('options that do not exist', async () => {
  const refuses = (promise, message) => assert.rejects(promise, { code: 'INVALID_ARGUMENT', message });
  await refuses(InferenceSession.create(model('add'), { intraOpNumThread: 1 }), /did you mean 'intraOpNumThreads'/);
  await refuses(InferenceSession.create(model('add'), { optimizedModelFilePath: 'x' }), /no option 'optimizedModelFilePath'; there are/);
  await refuses(InferenceSession.create(model('add'), 7), /must be an object/);
  const session = await InferenceSession.create(model('add'), { executionProviders: ['cpu', { name: 'cpu' }], executionMode: 'sequential', logSeverityLevel: 3 });
  await refuses(session.run(feeds(), { timout: 5 }), /did you mean 'timeout'/);
  await refuses(session.run(feeds(), ['y'], { terminate: true }), /no option 'terminate'/);
  assert.throws(() => session.runSync(feeds(), { q: null }), { code: 'INVALID_ARGUMENT' });
  assert.ok((await session.run(feeds(), { tag: 'a', timeout: undefined })).y);
});

test('the event loop goes on during a run', async () => {
  const session = await InferenceSession.create(model('slow'));
  const abort = new AbortController();
  const run = session.run(endless(), { signal: abort.signal });
  let turns = 0;
  for (const end = Date.now() + 100; Date.now() < end; turns++) await new Promise(setImmediate);
  assert.ok(turns > 3, `${turns} turns`);
  abort.abort();
  await assert.rejects(run, { name: 'AbortError' });
});

test('signals and timeouts', async () => {
  const session = await InferenceSession.create(model('slow'));
  await assert.rejects(session.run(endless(), { signal: AbortSignal.abort(new Error('mine')) }), { message: 'mine' });
  await assert.rejects(session.run(endless(), { signal: AbortSignal.timeout(20) }), { name: 'TimeoutError' });
  await assert.rejects(session.run(endless(), { timeout: 20 }), { code: 'DEADLINE_EXCEEDED' });
  assert.throws(() => session.runSync(endless(), { timeout: 20 }), { code: 'DEADLINE_EXCEEDED' });
  const abort = new AbortController();
  assert.ok((await session.run(endless(1n), { signal: abort.signal })).y);
  abort.abort(); // too late, and no harm
  assert.ok((await session.run(endless(1n))).y);
});

test('a session that is released during a run', async () => {
  const session = await InferenceSession.create(model('slow'));
  const run = session.run(endless(200n));
  await session.release();
  assert.ok((await run).y);
});

test('many runs at once', async () => {
  const session = await InferenceSession.create(model('neg'));
  const all = await Promise.all(Array.from({ length: 200 }, (_, i) => session.run({ x: new Tensor('float32', [i, i, i], [1, 3]) })));
  all.forEach(({ y }, i) => assert.strictEqual(y.data[0] + i, 0));
});

const WORKER = `
const { parentPort, workerData } = require('node:worker_threads');
const { InferenceSession, Tensor } = require(workerData.package);
(async () => {
  const session = await InferenceSession.create(workerData.model);
  for (let i = 0; i < 50; i++) await session.run({ x: new Tensor('float32', new Float32Array(6000), [2000, 3]) });
  parentPort.postMessage('done');
  const slow = await InferenceSession.create(workerData.slow);
  await slow.run({ count: new Tensor('int64', [10n ** 8n], []), x: new Tensor('float32', new Float32Array(4096), [64, 64]) });
})();`;

test('workers, ended during a run', async () => {
  const workerData = { package: path.join(__dirname, '..'), model: model('neg'), slow: model('slow') };
  await Promise.all([1, 2, 3].map(async () => {
    const worker = new Worker(WORKER, { eval: true, workerData });
    assert.deepStrictEqual(await once(worker, 'message'), ['done']);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await worker.terminate();
  }));
});

test('exit during a run', () => {
  const script = `const { InferenceSession, Tensor } = require(process.argv[1]);
    InferenceSession.create(process.argv[2]).then((s) => {
      for (let i = 0; i < 3; i++) s.run({ count: new Tensor('int64', [10n ** 8n], []), x: new Tensor('float32', new Float32Array(4096), [64, 64]) }).catch(() => {});
      setTimeout(() => process.exit(7), 30);
    });`;
  const done = spawnSync(process.execPath, ['-e', script, path.join(__dirname, '..'), model('slow')], { encoding: 'utf8', timeout: 60_000 });
  assert.deepStrictEqual([done.status, done.signal, done.stderr], [7, null, '']);
});
