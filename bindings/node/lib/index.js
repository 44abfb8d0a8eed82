'use strict';
const native = require('./native.js');
const { LinnetError } = require('./errors.js');
const { InferenceSession } = require('./session.js');
const { Tensor } = require('./tensor.js');
const { compile, optimize, quantize, tune } = require('./writing.js');

exports.InferenceSession = InferenceSession;
exports.LinnetError = LinnetError;
exports.Tensor = Tensor;
exports.compile = compile;
exports.hasFeature = native.hasFeature;
exports.openHandles = native.openHandles;
exports.optimize = optimize;
exports.quantize = quantize;
exports.tune = tune;
exports.version = native.version;
