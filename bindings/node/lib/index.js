'use strict';
const native = require('./native.js');
const { LinnetError } = require('./errors.js');
const { InferenceSession } = require('./session.js');
const { Tensor } = require('./tensor.js');

exports.InferenceSession = InferenceSession;
exports.LinnetError = LinnetError;
exports.Tensor = Tensor;
exports.hasFeature = native.hasFeature;
exports.openHandles = native.openHandles;
exports.version = native.version;
