'use strict';
// How arguments are read.
const { LinnetError } = require('./errors.js');

function invalid(message) {
  return new LinnetError('INVALID_ARGUMENT', message);
}

function integer(value, name) {
  if (value === undefined) return 0;
  if (!Number.isSafeInteger(value) || value < 0) throw invalid(`${name} must be an integer that is not negative`);
  return value;
}

function bytesOf(source) {
  if (source instanceof ArrayBuffer || source instanceof SharedArrayBuffer) return new Uint8Array(source);
  if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  throw invalid('a model must be a path or the bytes of one');
}

function pathOf(source) {
  const text = source instanceof URL ? require('node:url').fileURLToPath(source) : source;
  if (text.includes('\0')) throw invalid('the path has a NUL character');
  return text;
}

function abortReason(signal) {
  return signal.reason ?? new LinnetError('CANCELLED', 'the call was cancelled');
}

// How many letters have to be added, left out or changed.
function distance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next.push(Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length];
}

/** Options that are not among the names are refused: they would have no effect. */
function known(given, names, what) {
  if (typeof given !== 'object' || given === null) throw invalid(`the options of ${what} must be an object`);
  for (const name of Object.keys(given)) {
    if (names.includes(name)) continue;
    const far = (other) => distance(name.toLowerCase(), other.toLowerCase());
    const nearest = names.reduce((best, other) => (far(other) < far(best) ? other : best));
    const hint = far(nearest) <= 1 + name.length / 3 ? `did you mean '${nearest}'?` : `there are ${names.join(', ')}`;
    throw invalid(`${what} has no option '${name}'; ${hint}`);
  }
  return given;
}

module.exports = { abortReason, bytesOf, integer, invalid, known, pathOf };
