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

module.exports = { abortReason, bytesOf, integer, invalid, pathOf };
