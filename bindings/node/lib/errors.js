'use strict';
const native = require('./native.js');

// By the numbers of linnet_code.
const CODES = [
  'OK', 'INVALID_ARGUMENT', 'INVALID_MODEL', 'UNSUPPORTED', 'NOT_FOUND', 'IO', 'OUT_OF_MEMORY', 'CANCELLED',
  'DEADLINE_EXCEEDED', 'INTERNAL', 'CLOSED', 'CALLBACK_FAILED',
];

/** What the engine refused: `code` says of which kind, `node` and `inputs` where, as far as that is known. */
class LinnetError extends Error {
  constructor(code, message, node = '', inputs = '') {
    super(message);
    this.name = 'LinnetError';
    this.code = code;
    this.node = node;
    this.inputs = inputs;
  }
}

native.setErrorFactory((code, message, node, inputs) => new LinnetError(CODES[code] ?? 'INTERNAL', message, node, inputs));

module.exports = { LinnetError };
