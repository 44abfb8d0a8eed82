'use strict';
const assert = require('node:assert');
const { spawn, spawnSync } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const test = require('node:test');
const { Worker } = require('node:worker_threads');
const { InferenceSession, LinnetError, Tensor, compile, openHandles, optimize, quantize, tune } = require('..');
const { bytes, model } = require('./common.js');

const noise = (seed) => Float32Array.from({ length: 5 * 128 }, (_, i) => Math.sin(i * 12.9898 + seed * 78.233));
const feed = (seed) => ({ x: new Tensor('float32', noise(seed), [5, 128]) });
function* stream(count = 4) {
  for (let i = 0; i < count; i++) yield feed(i);
}

function folder(t) {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'linnet-'));
  t.after(() => fs.rmSync(made, { recursive: true }));
  return { at: (name) => path.join(made, name), names: () => fs.readdirSync(made).sort() };
}

async function cosine(before, after) {
  const y = [];
  for (const source of [before, after]) y.push((await (await InferenceSession.create(source)).run(feed(99))).y.data);
  const dot = (a, b) => a.reduce((sum, element, i) => sum + element * b[i], 0);
  return dot(y[0], y[1]) / Math.sqrt(dot(y[0], y[0]) * dot(y[1], y[1]));
}

test('optimize', async (t) => {
  const { at } = folder(t);
  const told = [];
  const report = await optimize(model('product'), at('fast.onnx'), { level: 'basic', shapes: { x: [5, 128] }, onProgress: (...step) => told.push(step) });
  assert.ok(report.passes.length > 3 && report.nodes_before === 3 && report.nodes_after <= 3);
  assert.ok(told.length > 3 && told.every(([done, total, what]) => done <= total && what));
  assert.deepStrictEqual((await InferenceSession.create(at('fast.onnx'))).inputMetadata[0].shape, [5, 128]);
  await optimize(bytes('product'), pathToFileURL(at('half.onnx')), { floats: 'float16', freeDimensionOverrides: { n: 5 } });
  assert.ok(fs.statSync(at('half.onnx')).size < 0.6 * fs.statSync(model('product')).size);
  assert.ok(await cosine(model('product'), at('half.onnx')) > 0.99999);
});

test('compile', async (t) => {
  const { at } = folder(t);
  assert.strictEqual(await compile(model('product'), at('product.linnet'), { threads: 1 }), undefined);
  assert.ok(await cosine(model('product'), at('product.linnet')) > 0.999999);
});

for (const [name, options, least] of [
  ['dynamic', {}, 0.999], ['dynamic, per channel', { perChannel: true, weightType: 'uint8', reduceRange: true }, 0.999],
  ['static', { scheme: 'static', samples: [feed(1), feed(2)] }, 0.99],
  ['static, of a stream', { scheme: 'static', samples: stream(), activationType: 'int16' }, 0.999],
  ['static, of a promise of each', { scheme: 'static', samples: (async function* later() { yield* stream(); })(), format: 'qoperator', activationType: 'uint8' }, 0.99],
  ['static, samples needed twice', { scheme: 'static', samples: () => stream(), smoothQuant: true, calibrationMethod: 'entropy', numBins: 2048 }, 0.99],
  ['weights of 4 bits', { scheme: 'weights' }, 0.99], ['weights of 8 bits', { scheme: 'weights', bits: 8, blockSize: 64, weightSymmetric: false }, 0.9999],
  ['weights, gptq', { scheme: 'weights', method: 'gptq', samples: stream(20) }, 0.98],
]) {
  test(`quantize: ${name}`, async (t) => {
    const { at } = folder(t);
    const report = await quantize(model('product'), at('small.onnx'), options);
    assert.strictEqual(report.bytes_after, fs.statSync(at('small.onnx')).size);
    assert.ok(report.quantized >= 2 && report.bytes_after < 0.4 * report.bytes_before);
    const near = await cosine(model('product'), at('small.onnx'));
    assert.ok(near > least, `cosine ${near}`);
  });
}

test('quantize explains', async (t) => {
  const { at, names } = folder(t);
  const report = await quantize(model('product'), at('small.onnx'), { samples: stream(), sensitivity: 'all' });
  assert.ok(report.quality.samples === 4 && report.quality.overall.mean_cosine > 0.999);
  assert.ok(report.nodes.every((node) => node.alone.mean_cosine > 0.999));
  const fixed = await quantize(model('product'), at('static.onnx'), { scheme: 'static', samples: stream(), onlyFaster: true });
  assert.strictEqual(fixed.quality.samples, 4);
  const before = names();
  for (const wrong of [{ explain: true }, { samples: [feed(1)] }, { samples: stream(), labels: [1] }, { samples: stream(), labels: ['x'] },
    { samples: stream(), labelOutput: 'y' }, { samples: stream(), sensitivity: 'some' }]) {
    await assert.rejects(quantize(model('product'), at('never.onnx'), wrong), { code: 'INVALID_ARGUMENT' });
  }
  assert.deepStrictEqual(names(), before);
});

test('tune', async (t) => {
  const { at } = folder(t);
  const told = [];
  const report = await tune(model('product'), at('tuned'), { samples: stream(), maxLoss: 0.05, prefer: 'size', budget: 20, onProgress: (...step) => told.push(step) });
  assert.strictEqual(report.candidates[report.points[report.chosen].candidate].fate, 'timed');
  assert.ok(told.length > 3 && fs.existsSync(at('tuned/manifest.json')));
  assert.ok(await cosine(model('product'), at('tuned/model.onnx')) > 0.9);
  const nothing = await tune(model('product'), at('tiny'), { samples: stream(), maxBytes: 10, budget: 20 });
  assert.ok(nothing.chosen === undefined && nothing.beyond && !fs.existsSync(at('tiny/model.onnx')));
  for (const wrong of [{ maxLoss: -1 }, { measure: 'beauty' }, { prefer: 'cheap' }, { labels: [1] }, { labels: {} }, { threads: [0] }, { threads: [-1] }, { threads: 2 }, { samples: [] }, { samples: 3 }]) {
    await assert.rejects(tune(model('product'), at('wrong'), { samples: stream(), ...wrong }), { code: 'INVALID_ARGUMENT' });
  }
  await assert.rejects(tune(model('product'), at('wrong')), { code: 'INVALID_ARGUMENT' });
  const abort = new AbortController();
  const stopped = tune(model('product'), at('stopped'), { samples: stream(), signal: abort.signal, onProgress: () => abort.abort() });
  await assert.rejects(stopped, { name: 'AbortError' });
  assert.ok(!fs.existsSync(at('wrong')) && !fs.existsSync(at('stopped/model.onnx')));
});

test('samples are asked for one at a time, and generators are ended', async (t) => {
  const { at } = folder(t);
  let given = 0, ended = 0;
  async function* counted() {
    try {
      for (;;) {
        given++;
        yield feed(given);
      }
    } finally {
      ended++;
    }
  }
  const abort = new AbortController();
  await assert.rejects(quantize(model('product'), at('never.onnx'), {
    scheme: 'static', samples: counted, signal: abort.signal,
    onProgress: (done, total, what) => what === 'calibration' && done === 3 && abort.abort(),
  }), { name: 'AbortError' });
  assert.ok(given >= 3 && given <= 5, `${given} samples`);
  await new Promise(setImmediate);
  assert.strictEqual(ended, 1);
});

test('errors', async (t) => {
  const { at, names } = folder(t);
  const fails = (promise, code) => assert.rejects(promise, (error) => error instanceof LinnetError && error.code === code && error.message.length > 0);
  const to = at('x.onnx');
  await fails(quantize('/nowhere/model.onnx', to), 'NOT_FOUND');
  await fails(quantize(model('product'), model('product')), 'INVALID_ARGUMENT');
  await fails(quantize(model('product'), to, { scheme: 'best' }), 'INVALID_ARGUMENT');
  await fails(quantize(model('product'), to, { exclude: ['Matmul'] }), 'NOT_FOUND');
  await fails(quantize(model('product'), to, { scheme: 'static' }), 'INVALID_ARGUMENT');
  await fails(quantize(model('product'), to, { scheme: 'static', samples: [] }), 'INVALID_ARGUMENT');
  await fails(quantize(model('product'), to, { scheme: 'static', samples: 7 }), 'INVALID_ARGUMENT');
  await fails(quantize(model('product'), to, { scheme: 'static', samples: [7] }), 'INVALID_ARGUMENT');
  await fails(quantize(model('product'), to, { scheme: 'static', samples: [{ q: feed(1).x }] }), 'NOT_FOUND');
  await fails(quantize(model('product'), to, { scheme: 'static', samples: [{}] }), 'INVALID_ARGUMENT');
  await fails(quantize(model('product'), to, { scheme: 'static', samples: stream(), smoothQuant: true }), 'INVALID_ARGUMENT');
  await fails(quantize(model('product'), to, { scheme: 'weights', bits: 3 }), 'INVALID_ARGUMENT');
  await fails(quantize(model('product'), to, { scheme: 'weights', method: 'best' }), 'INVALID_ARGUMENT');
  await fails(quantize(new Uint8Array([1, 2, 3]), to), 'INVALID_MODEL');
  await fails(optimize(model('product'), to, { level: 'best' }), 'INVALID_ARGUMENT');
  await fails(optimize(model('product'), to, { disabledPasses: ['nothing'] }), 'INVALID_ARGUMENT');
  await fails(optimize(model('product'), 'a\0b'), 'INVALID_ARGUMENT');
  await fails(optimize(model('product'), 7), 'INVALID_ARGUMENT');
  await fails(compile(model('product'), at('nowhere/x.linnet')), 'IO');
  await fails(compile(7, to), 'INVALID_ARGUMENT');
  assert.deepStrictEqual(names(), []);
});

test('what the caller throws meanwhile', async (t) => {
  const { at, names } = folder(t);
  const mine = new Error('mine');
  const thrower = () => { throw mine; };
  function* broken() {
    yield feed(1);
    throw mine;
  }
  const to = at('never.onnx');
  for (const call of [
    () => quantize(model('product'), to, { onProgress: thrower }), () => optimize(model('product'), to, { onProgress: thrower }),
    () => quantize(model('product'), to, { scheme: 'static', samples: broken() }), () => quantize(model('product'), to, { scheme: 'static', samples: thrower }),
  ]) await assert.rejects(call(), mine);
  assert.deepStrictEqual(names(), []);
});

test('what onProgress throws at any step', async (t) => {
  const { at, names } = folder(t);
  const mine = new Error('mine');
  for (const call of [quantize, optimize, compile]) {
    let steps = 0;
    await call(model('product'), at('whole.onnx'), { onProgress: () => steps++ });
    fs.rmSync(at('whole.onnx'));
    for (let last = 0; last < steps; last++) {
      let step = 0;
      await assert.rejects(call(model('product'), at('never.onnx'), { onProgress: () => { if (step++ === last) throw mine; } }), mine);
      assert.deepStrictEqual(names(), [], `${call.name}: ${last} of ${steps}`);
    }
  }
});

test('options that do not exist, or have no use', async (t) => {
  const { at, names } = folder(t);
  const to = at('never.onnx');
  const refuses = (promise, message) => assert.rejects(promise, (error) => error instanceof LinnetError && error.code === 'INVALID_ARGUMENT' && message.test(error.message));
  await refuses(quantize(model('product'), to, { perchannel: true }), /no option 'perchannel'; did you mean 'perChannel'/);
  await refuses(quantize(model('product'), to, { bits: 4 }), /bits has no use without the scheme 'weights'/);
  await refuses(quantize(model('product'), to, { scheme: 'weights', perChannel: true }), /'dynamic' or 'static'/);
  await refuses(quantize(model('product'), to, { scheme: 'weights', damping: 0.1 }), /damping has no use without the method 'gptq'/);
  await refuses(quantize(model('product'), to, { scheme: 'static', samples: stream(), percentile: 99 }), /percentile has no use/);
  await refuses(quantize(model('product'), to, { scheme: 'weights', accuracyLevel: 2 }), /0 or 4, not 2/);
  await refuses(optimize(model('product'), to, { float: 'float16' }), /did you mean 'floats'/);
  await refuses(optimize(model('product'), to, { keepFloat: ['MatMul'] }), /floats/);
  await refuses(compile(model('product'), to, { level: 'all' }), /compile has no option 'level'; there are threads/);
  await refuses(tune(model('product'), to, { samples: stream(), maxloss: 1 }), /did you mean 'maxLoss'/);
  await refuses(quantize(model('product'), to, 7), /must be an object/);
  assert.deepStrictEqual(names(), []);
  await quantize(model('product'), to, { perChannel: true, bits: undefined, embeddings: false });
});

test('tune: samples to calibrate with, nothing lost, and another search', async (t) => {
  const { at } = folder(t);
  const passes = [];
  function* others() {
    passes.push('others');
    yield { x: new Tensor('float32', new Float32Array(5 * 128).fill(50), [5, 128]) };
  }
  const options = { samples: () => stream(), calibration: others, budget: 20 };
  const report = await tune(model('product'), at('tuned'), { ...options, samplePath: 'judge', calibrationPath: 'calibrate', maxLoss: 1 });
  assert.deepStrictEqual(passes, ['others']);
  assert.ok(JSON.stringify(report).includes('calibrate'));
  const exact = await tune(model('product'), at('tuned'), { ...options, maxLoss: 0 }); // replaces what has ended
  assert.ok(exact.limits.loss === 0 && exact.candidates[exact.points[exact.chosen].candidate].loss <= 0);
  await assert.rejects(tune(model('product'), at('never'), { samples: stream(), calibrationPath: 'x' }), { code: 'INVALID_ARGUMENT' });
  const mine = new Error('mine');
  await assert.rejects(tune(model('product'), at('never'), { samples: stream(), calibration: () => { throw mine; } }), mine);
  const stop = (done, total, what) => { if (what.startsWith('trying')) throw mine; };
  await assert.rejects(tune(model('product'), at('again'), { samples: stream(), onProgress: stop }), mine);
  assert.deepStrictEqual(fs.readdirSync(at('again')), ['tune.state']);
  await assert.rejects(tune(model('product'), at('again'), { samples: stream() }), { code: 'INVALID_ARGUMENT', message: /the option resume goes on/ });
  assert.ok((await tune(model('product'), at('again'), { samples: stream(), resume: true, budget: 20 })).candidates.length > 3);
});

test('signals', async (t) => {
  const { at, names } = folder(t);
  await assert.rejects(optimize(model('product'), at('x'), { signal: AbortSignal.abort(new Error('mine')) }), { message: 'mine' });
  await assert.rejects(optimize(model('product'), at('x'), { signal: 7 }), { code: 'INVALID_ARGUMENT' });
  const never = { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) };
  await assert.rejects(quantize(model('product'), at('x'), { scheme: 'static', samples: never, signal: AbortSignal.timeout(50) }), { name: 'TimeoutError' });
  assert.deepStrictEqual(names(), []);
});

test('the event loop goes on', async (t) => {
  const { at } = folder(t);
  const long = { x: new Tensor('float32', new Float32Array(20_000 * 128).fill(0.5), [20_000, 128]) };
  let ended = false, turns = 0;
  const work = quantize(model('product'), at('x.onnx'), { scheme: 'static', samples: [long, long, long] }).then(() => { ended = true; });
  while (!ended) {
    turns++;
    await new Promise(setImmediate);
  }
  await work;
  assert.ok(turns > 20, `${turns} turns`);
});

test('nothing leaks', async (t) => {
  const { at } = folder(t);
  const work = async () => {
    for (let i = 0; i < 20; i++) {
      await quantize(model('product'), at('x.onnx'), { scheme: 'static', samples: stream() });
      await assert.rejects(quantize(model('product'), at('x.onnx'), { scheme: 'static', samples: [{}] }));
    }
    for (let i = 0; i < 5; i++) {
      globalThis.gc();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return openHandles();
  };
  const before = await work();
  assert.ok(await work() <= before + 2);
});

// Calls one function again and again, and tells when the first one is in the middle.
const AGAIN = `const linnet = require(package), x = () => ({ x: new linnet.Tensor('float32', new Float32Array(128), [1, 128]) });
  function* endless() { for (;;) yield x(); }
  const work = async (name, tell) => {
    for (let i = 0; ; i++) {
      const onProgress = (done, total, what) => what.startsWith('reading') || tell();
      if (name === 'tune') await linnet.tune(model, to + name + i, { samples: [x(), x()], onProgress });
      else if (name === 'static') await linnet.quantize(model, to + name, { scheme: 'static', samples: endless, onProgress });
      else await linnet[name](model, to + name, { onProgress });
    }
  };`;
const CALLS = ['static', 'quantize', 'optimize', 'compile', 'tune'];
const leftBehind = (at) => fs.readdirSync(at(''), { recursive: true }).filter((name) => /tmp|candidates|static/.test(name));

test('exit meanwhile', (t) => {
  const { at } = folder(t);
  for (const call of CALLS) {
    for (const delay of [0, 30, 200]) {
      const script = `const [package, model, to] = process.argv.slice(1); ${AGAIN}
        for (let i = 0; i < 3; i++) work('${call}', () => {}).catch(() => {});
        setTimeout(() => process.exit(7), ${delay});`;
      const done = spawnSync(process.execPath, ['-e', script, path.join(__dirname, '..'), model('product'), at('')], { encoding: 'utf8', timeout: 60_000 });
      assert.deepStrictEqual([done.status, done.signal, done.stderr], [7, null, ''], `${call}, ${delay} ms`);
    }
  }
  assert.deepStrictEqual(leftBehind(at), []);
});

test('workers that are ended meanwhile', async (t) => {
  const { at } = folder(t);
  for (const call of CALLS) {
    const script = `const { parentPort, workerData: { package, model, to } } = require('node:worker_threads'); ${AGAIN}
      work('${call}', () => parentPort.postMessage('begun')).catch(() => {});`;
    const worker = new Worker(script, { eval: true, workerData: { package: path.join(__dirname, '..'), model: model('product'), to: at('') } });
    await once(worker, 'message');
    await worker.terminate();
  }
  assert.deepStrictEqual(leftBehind(at), []);
});

test('Ctrl-C meanwhile', { skip: process.platform === 'win32' }, async (t) => {
  const { at } = folder(t);
  const started = (more, to) => {
    const script = `const [package, model, to] = process.argv.slice(1); ${AGAIN} ${more}`;
    return spawn(process.execPath, ['-e', script, path.join(__dirname, '..'), model('product'), at(to)], { stdio: ['ignore', 'pipe', 'inherit'] });
  };
  for (const name of ['SIGINT', 'SIGTERM']) {
    const child = started(`for (const call of ['tune', 'static']) work(call, () => console.log(call)).catch(console.log);`, name);
    const ended = once(child, 'exit');
    let told = '', asked = false;
    for await (const part of child.stdout) {
      told += part;
      if (!asked && told.includes('tune') && told.includes('static')) asked = child.kill(name); // a second one would end it at once
    }
    assert.deepStrictEqual(await ended, [null, name]);
  }
  assert.deepStrictEqual(leftBehind(at), []);
  const listens = started(`process.once('SIGINT', () => { console.log('mine'); process.exit(5); }); work('tune', () => console.log('told')).catch(() => {});`, 'listens');
  const ended = once(listens, 'exit');
  await once(listens.stdout, 'data');
  listens.kill('SIGINT');
  assert.deepStrictEqual(await ended, [5, null]);
});
