'use strict';
// Run with --expose-gc. What is measured is told; the bounds are wide, as other work may share the machine.
const assert = require('node:assert');
const test = require('node:test');
const { InferenceSession, Tensor, openHandles } = require('..');
const { model } = require('./common.js');

const turn = () => new Promise(setImmediate);
async function settle() {
  for (let i = 0; i < 5; i++) {
    globalThis.gc();
    await turn();
  }
  return process.memoryUsage.rss() / 2 ** 20;
}

test('memory stays', async () => {
  const session = await InferenceSession.create(model('neg'));
  const small = { x: new Tensor('float32', [1, 2, 3], [1, 3]) };
  const large = { x: Tensor.allocate('float32', [100_000, 3]) };
  const work = async (count) => {
    for (let i = 0; i < count; i++) {
      session.runSync(small);
      if (i % 20 === 0) await session.run(small);
      if (i % 100 === 0) await session.run(large);
    }
    return settle();
  };
  let grown = 0, handles = 0;
  for (let round = 0; round < 3; round++) { // the allocator settles; a leak would grow each time
    const before = await work(30_000);
    handles = openHandles();
    grown = (await work(100_000)) - before;
    if (grown < 16) break;
  }
  assert.ok(grown < 16, `grew by ${grown} MiB`);
  assert.strictEqual(openHandles(), handles);
});

test('large outputs without a turn of the event loop', async () => {
  const session = await InferenceSession.create(model('neg'));
  const x = Tensor.allocate('float32', [100_000, 3]);
  let most = 0;
  for (let i = 0; i < 1500; i++) { // 1.7 GiB of outputs
    session.runSync({ x });
    if (i % 100 === 0) most = Math.max(most, process.memoryUsage.rss());
  }
  assert.ok(most < 900 * 2 ** 20, `${most} bytes`);
  await settle();
});

// Of single calls, the slowest of the tenth part that other work disturbed least.
async function microseconds(session, feeds) {
  const sync = [], async = [];
  const now = process.hrtime.bigint;
  for (let i = 0; i < 3000; i++) {
    const start = now();
    session.runSync(feeds);
    sync.push(Number(now() - start) / 1000);
  }
  for (let i = 0; i < 3000; i++) {
    const start = now();
    await session.run(feeds);
    async.push(Number(now() - start) / 1000);
  }
  const least = (times) => times.sort((a, b) => a - b)[times.length / 10];
  return { sync: least(sync), async: least(async) };
}

test('what a call costs', async () => {
  const { sync, async } = await microseconds(await InferenceSession.create(model('neg')), { x: new Tensor('float32', [1, 2, 3], [1, 3]) });
  console.log(`measured: a synchronous call costs ${sync.toFixed(1)} us, a promise ${async.toFixed(1)} us`);
  assert.ok(sync < 2000);
});

test('what a call costs beside one in C++', { skip: !process.env.LINNET_COSTS && 'nobody has measured that' }, async () => {
  const known = JSON.parse(process.env.LINNET_COSTS); // of a model that takes some 50 us
  const session = await InferenceSession.create(known.model, { intraOpNumThreads: 1 });
  const x = new Tensor('float32', new Float32Array(known.shape[0] * known.shape[1]).fill(1), known.shape);
  const { sync, async } = await microseconds(session, { x });
  const more = (time) => `+${(time - known.run_us).toFixed(1)} us`;
  console.log(`measured: of ${known.run_us.toFixed(0)} us in C++, runSync ${more(sync)}; two thread wakes +${known.wakes_us.toFixed(1)} us, run ${more(async)}`);
  assert.ok(sync - known.run_us < 300); // 30 where nothing else runs
});
