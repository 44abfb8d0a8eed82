'use strict';
const native = require('./native.js');
const { LinnetError } = require('./errors.js');

// Numbers of onnx.TensorProto.DataType, the array of the elements, and how many entries or bits one element takes.
const Half = globalThis.Float16Array ?? Uint16Array;
const TYPES = {
  float32: { dtype: 1, array: Float32Array },
  uint8: { dtype: 2, array: Uint8Array },
  int8: { dtype: 3, array: Int8Array },
  uint16: { dtype: 4, array: Uint16Array },
  int16: { dtype: 5, array: Int16Array },
  int32: { dtype: 6, array: Int32Array },
  int64: { dtype: 7, array: BigInt64Array },
  string: { dtype: 8, array: Array },
  bool: { dtype: 9, array: Uint8Array },
  float16: { dtype: 10, array: Half },
  float64: { dtype: 11, array: Float64Array },
  uint32: { dtype: 12, array: Uint32Array },
  uint64: { dtype: 13, array: BigUint64Array },
  complex64: { dtype: 14, array: Float32Array, entries: 2 },
  complex128: { dtype: 15, array: Float64Array, entries: 2 },
  bfloat16: { dtype: 16, array: Uint16Array },
  float8e4m3fn: { dtype: 17, array: Uint8Array },
  float8e4m3fnuz: { dtype: 18, array: Uint8Array },
  float8e5m2: { dtype: 19, array: Uint8Array },
  float8e5m2fnuz: { dtype: 20, array: Uint8Array },
  uint4: { dtype: 21, array: Uint8Array, bits: 4 },
  int4: { dtype: 22, array: Uint8Array, bits: 4 },
  float4e2m1: { dtype: 23, array: Uint8Array, bits: 4 },
  float8e8m0: { dtype: 24, array: Uint8Array },
  uint2: { dtype: 25, array: Uint8Array, bits: 2 },
  int2: { dtype: 26, array: Uint8Array, bits: 2 },
};
const NAMES = [];
for (const [name, { dtype }] of Object.entries(TYPES)) NAMES[dtype] = name;

// What `new Tensor(data, dims)` takes an array for.
const INFERRED = new Map([
  [Float32Array, 'float32'], [Uint8Array, 'uint8'], [Uint8ClampedArray, 'uint8'], [Int8Array, 'int8'],
  [Uint16Array, 'uint16'], [Int16Array, 'int16'], [Int32Array, 'int32'], [BigInt64Array, 'int64'],
  [Float64Array, 'float64'], [Uint32Array, 'uint32'], [BigUint64Array, 'uint64'], [Half, Half === Uint16Array ? 'uint16' : 'float16'],
]);

const TENSOR = 1;
const SEQUENCE = 2;
const MAP = 3;

function invalid(message) {
  return new LinnetError('INVALID_ARGUMENT', message);
}

function typeNamed(name) {
  if (!Object.hasOwn(TYPES, name)) throw invalid(`'${name}' is no type of tensors; there are ${Object.keys(TYPES).join(', ')}`);
  return TYPES[name];
}

function countOf(dims) {
  let count = 1;
  for (const size of dims) {
    if (!Number.isSafeInteger(size) || size < 0) throw invalid(`a size of a shape must be an integer that is not negative, not ${size}`);
    count *= size;
  }
  if (!Number.isSafeInteger(count)) throw invalid('the shape has more elements than there can be');
  return count;
}

function lengthOf(type, count) {
  return type.bits ? Math.ceil((count * type.bits) / 8) : count * (type.entries ?? 1);
}

function inferType(data) {
  if (Array.isArray(data)) {
    if (typeof data[0] === 'string') return 'string';
    if (typeof data[0] === 'boolean') return 'bool';
    throw invalid("an array of numbers does not tell its type; write new Tensor('float32', data, dims)");
  }
  const name = INFERRED.get(data?.constructor);
  if (!name) throw invalid('the data of a tensor must be a typed array or an array of strings or booleans');
  return name;
}

function toTypedArray(name, type, data) {
  if (name === 'string') {
    if (!Array.isArray(data) || !data.every((text) => typeof text === 'string')) throw invalid('the data of a string tensor must be an array of strings');
    return data;
  }
  if (data instanceof type.array) return data;
  if (name === 'uint8' && data instanceof Uint8ClampedArray) return new Uint8Array(data.buffer, data.byteOffset, data.length);
  if (name === 'float16' && data instanceof Uint16Array) return data;
  if (!Array.isArray(data)) throw invalid(`the data of a tensor of ${name} must be ${type.array.name}, not ${data?.constructor?.name ?? data}`);
  try {
    return type.array === BigInt64Array || type.array === BigUint64Array ? type.array.from(data, BigInt) : type.array.from(data);
  } catch (cause) {
    throw Object.assign(invalid(`the array does not fit a tensor of ${name}: ${cause.message}`), { cause });
  }
}

/** A tensor. Its data is not copied; runs that are not synchronous copy it when they start, unless Tensor.allocate or
 * another run made it. */
class Tensor {
  #data;

  constructor(...given) {
    const [name, data, dims] = typeof given[0] === 'string' ? given : [inferType(given[0]), ...given];
    const type = typeNamed(name);
    const typed = toTypedArray(name, type, data);
    const shape = dims === undefined ? [typed.length / (type.entries ?? 1)] : Array.from(dims);
    const length = lengthOf(type, countOf(shape));
    if (typed.length !== length) throw invalid(`a tensor of ${name}[${shape}] needs ${length} entries; the data has ${typed.length}`);
    this.type = name;
    this.dims = Object.freeze(shape);
    this.#data = typed;
  }

  /** A tensor of zeros in memory that every run uses without a copy. */
  static allocate(name, dims) {
    const type = typeNamed(name);
    if (name === 'string') throw invalid('strings have no memory to allocate; write new Tensor');
    countOf(dims);
    return fromForm(native.allocate(type.dtype, Array.from(dims)));
  }

  get data() {
    if (this.#data === null) throw new LinnetError('CLOSED', 'the tensor is disposed of');
    return this.#data;
  }

  async getData() {
    return this.data;
  }

  get size() {
    return this.dims.reduce((product, size) => product * size, 1);
  }

  get location() {
    return 'cpu';
  }

  reshape(dims) {
    return new Tensor(this.type, this.data, dims);
  }

  /** Lets go of the data before the garbage collector finds it. */
  dispose() {
    this.#data = null;
  }
}

function fromForm(form) {
  if (form === null || form === undefined) return null;
  if (form[0] === TENSOR) {
    const [, dtype, dims, content] = form;
    const name = NAMES[dtype];
    return new Tensor(name, name === 'string' ? content : new TYPES[name].array(content), dims);
  }
  if (form[0] === MAP) {
    const keys = fromForm(form[1]).data;
    const values = fromForm(form[2]).data;
    return new Map(Array.from(keys, (key, i) => [key, values[i]]));
  }
  return form[2].map(fromForm);
}

// `port` says what an array or a Map is to become.
function toForm(value, port) {
  if (value === null || value === undefined) return null;
  if (value instanceof Tensor) return [TENSOR, TYPES[value.type].dtype, value.dims, value.data];
  const dtype = port?.dtype || 1;
  if (Array.isArray(value)) {
    const elements = value.map((element) => toForm(element, port));
    return [SEQUENCE, port?.dtype || elements[0]?.[1] || 1, elements];
  }
  if (value instanceof Map) {
    const column = (entries, number) => toForm(new Tensor(NAMES[number], Array.from(entries), [value.size]));
    return [MAP, column(value.keys(), port?.keyDtype || 7), column(value.values(), dtype)];
  }
  throw invalid(`${port ? `'${port.name}'` : 'a value'} must be a Tensor, an array of them, a Map or null`);
}

function typeOf(port) {
  const of = (kind) => (kind === MAP ? `map(${NAMES[port.keyDtype]},${NAMES[port.dtype]})` : NAMES[port.dtype]);
  if (port.kind === SEQUENCE) return `seq(${of(port.content)})`;
  if (port.kind === 4) return `optional(${port.content === SEQUENCE ? `seq(${of(TENSOR)})` : of(port.content)})`;
  return of(port.kind);
}

module.exports = { Tensor, fromForm, toForm, typeOf };
