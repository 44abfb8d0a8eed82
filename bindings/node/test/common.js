'use strict';
const fs = require('node:fs');
const path = require('node:path');

const folder = process.env.LINNET_TEST_MODELS;

exports.model = (name) => path.join(folder, `${name}.onnx`);
exports.bytes = (name) => fs.readFileSync(exports.model(name));
