'use strict';
// The examples of the README run.
const assert = require('node:assert');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const test = require('node:test');
const { model } = require('./common.js');

const root = path.join(__dirname, '..');
const examples = [...fs.readFileSync(path.join(root, 'README.md'), 'utf8').matchAll(/^```js\n(.*?)^```/gms)].map((match) => match[1]);

test('there are examples', () => assert.ok(examples.length >= 2));
examples.forEach((code, i) => test(`example ${i + 1}`, (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'linnet-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  fs.mkdirSync(path.join(folder, 'node_modules'));
  fs.symlinkSync(root, path.join(folder, 'node_modules', 'linnet'));
  fs.copyFileSync(model('neg'), path.join(folder, 'model.onnx'));
  fs.writeFileSync(path.join(folder, 'example.mjs'), code);
  const done = spawnSync(process.execPath, ['example.mjs'], { cwd: folder, encoding: 'utf8', timeout: 60_000 });
  assert.deepStrictEqual([done.status, done.stderr], [0, '']);
}));
