// TensorFlow.js, `tf.losses.softmaxCrossEntropy`: a program that speaks the protocol itself.
// It documents one-hot labels of shape [batch_size, num_classes] and weights of samples, here
// those of their classes, in float32.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const SYSTEM = "torch.nn.CrossEntropyLoss";
const PACKAGE = "@tensorflow/tfjs";

// Stdout is the protocol's.
console.log = console.info = console.debug = console.error;

class Unsupported extends Error {}

/** The framework, or why there is none. */
function load() {
  // NODE_PATH, which only `require` heeds, tells where the package is.
  const require = createRequire(import.meta.url);
  try {
    return { tf: require(PACKAGE) };
  } catch (error) {
    return { error: `${error.code ?? error.name}: ${error.message.split("\n")[0]}` };
  }
}

const { tf, error: missing } = load();

/** Reads an array: the elements of a strided view in C order. */
function decode({ data, dtype, shape, strides, offset }) {
  const bytes = Buffer.from(data, "base64");
  const read = {
    float32: (i) => bytes.readFloatLE(4 * i),
    int64: (i) => Number(bytes.readBigInt64LE(8 * i)),
  }[dtype];
  if (!read) throw new Unsupported(`tfjs documents no ${dtype}`);
  const size = shape.reduce((product, extent) => product * extent, 1);
  const values = dtype === "float32" ? new Float32Array(size) : new Int32Array(size);
  let next = 0;
  const walk = (axis, at) => {
    if (axis === shape.length) values[next++] = read(at);
    else for (let i = 0; i < shape[axis]; i++) walk(axis + 1, at + i * strides[axis]);
  };
  if (size) walk(0, offset);
  return { dtype, shape, values };
}

/** Gives an array to the framework. */
function toTensor({ dtype, shape, values }) {
  return tf.tensor(values, shape, dtype === "int64" ? "int32" : dtype);
}

/** Writes a result in its own dtype. */
function encode(tensor) {
  const values = tensor.dataSync();
  const data = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  return { dtype: tensor.dtype, shape: tensor.shape, data: data.toString("base64") };
}

/** Refuses what the framework does not document. */
function check(given, { input, target, weight }) {
  for (const name of ["size_average", "reduce", "ignore_index"]) {
    if (name in given) throw new Unsupported(`tfjs documents no ${name}`);
  }
  if (input.dtype !== "float32") throw new Unsupported("tfjs documents logits of float32");
  if (input.shape.length !== 2) throw new Unsupported("tfjs documents logits of two axes");
  const isIndex = target.shape.length < 2;
  if (isIndex && target.dtype !== "int64") {
    throw new Unsupported("tfjs documents one-hot labels, and indices of int32 to make them of");
  }
  if (target.dtype === "int64" && target.values.includes(-100)) {
    throw new Unsupported("tfjs documents no label that is ignored");
  }
  if (!weight) return;
  if (!isIndex || "label_smoothing" in given) {
    throw new Unsupported("tfjs documents weights of samples, and here the classes' differ");
  }
  if (!("reduction" in given)) {
    throw new Unsupported("tfjs documents that the sum is divided by the number of weights");
  }
  if (weight.dtype !== "float32" || weight.shape.join() !== `${input.shape[1]}`) {
    throw new Unsupported("tfjs documents no weights of classes, which it could check");
  }
}

/** Prepares a call: the loss as a function of what is differentiated, and where. */
function prepare(message, step) {
  const arrays = {};
  for (const [argument, name] of Object.entries(step.arrays)) {
    arrays[argument] = decode(message.arrays[name]);
  }
  const given = message.arguments;
  check(given, arrays);
  const tensors = {};
  for (const [name, array] of Object.entries(arrays)) tensors[name] = toTensor(array);
  const { MEAN, NONE, SUM } = tf.Reduction;
  const reduction = { mean: MEAN, none: NONE, sum: SUM }[given.reduction] ?? given.reduction;
  const smoothing = given.label_smoothing;
  const weights = tensors.weight && tf.gather(tensors.weight, tensors.target);
  if (arrays.target.shape.length < 2) {
    tensors.target = tf.oneHot(tensors.target, arrays.input.shape[1], 1, 0, "float32");
  }
  const loss = (...leaves) => {
    const at = { ...tensors };
    message.wrt.forEach((name, i) => (at[name] = leaves[i]));
    return tf.losses.softmaxCrossEntropy(
      at.target,
      at.input,
      weights,
      typeof smoothing === "string" ? NaN : smoothing,
      reduction,
    );
  };
  return { loss, leaves: message.wrt.map((name) => tensors[name]) };
}

function take(step, message, states) {
  try {
    if (step.do === "forward") {
      const state = prepare(message, step);
      const loss = encode(state.loss(...state.leaves));
      states[step.as] = state;
      return { outcome: "ok", arrays: { loss } };
    }
    if (!(step.of in states)) return { outcome: "skipped" };
    const { loss, leaves } = states[step.of];
    const seed = step.grad_output === null ? undefined : message.arrays[step.grad_output];
    const gradients = tf.grads(loss)(leaves, seed && toTensor(decode(seed)));
    const arrays = Object.fromEntries(message.wrt.map((name, i) => [name, encode(gradients[i])]));
    return { outcome: "ok", arrays };
  } catch (error) {
    if (error instanceof Unsupported) return { outcome: "unsupported", reason: error.message };
    return { outcome: "raised", type: error.name ?? "Error", message: String(error.message) };
  }
}

function answer(message) {
  if (message.op === "hello") {
    if (missing) return { error: missing, module: PACKAGE };
    const versions = { tfjs: tf.version.tfjs, node: process.versions.node };
    return { protocol: 1, name: "tfjs", systems: [SYSTEM], versions };
  }
  const states = {};
  tf.engine().startScope();
  const steps = message.steps.map((step) => take(step, message, states));
  tf.engine().endScope();
  // decode() copies, so nothing here can write to the caller's arrays.
  return { case: message.case, steps, modified: [] };
}

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  if (message.op === "quit") break;
  process.stdout.write(JSON.stringify(answer(message)) + "\n");
}
