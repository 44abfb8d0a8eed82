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
  const before = await work(30_000); // the allocator settles
  const handles = openHandles();
  const after = await work(100_000);
  assert.ok(after - before < 16, `grew from ${before} to ${after} MiB`);
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

test('what a call costs', async () => {
  const session = await InferenceSession.create(model('neg'));
  const feeds = { x: new Tensor('float32', [1, 2, 3], [1, 3]) };
  const median = async (count, run) => {
    const times = [];
    for (let round = 0; round < 9; round++) {
      const start = process.hrtime.bigint();
      await run(count);
      times.push(Number(process.hrtime.bigint() - start) / 1000 / count);
    }
    return times.sort((a, b) => a - b)[4];
  };
  const sync = await median(500, (count) => {
    for (let i = 0; i < count; i++) session.runSync(feeds);
  });
  const async = await median(200, async (count) => {
    for (let i = 0; i < count; i++) await session.run(feeds);
  });
  console.log(`measured: a synchronous call costs ${sync.toFixed(1)} us, a promise ${async.toFixed(1)} us`);
  assert.ok(sync < 2000);
});
