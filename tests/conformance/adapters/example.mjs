// A conformance program in another language: Node's standard library, no framework.
// It implements cross entropy of float64 logits and class indices, and says so of the rest.
//
//     crossent run --command "node tests/conformance/adapters/example.mjs"

import { createInterface } from "node:readline";

const SYSTEM = "torch.nn.CrossEntropyLoss";

class Unsupported extends Error {}

/** Reads an array: a strided view into a buffer, little-endian, in C order. */
function decode(array) {
  const bytes = Buffer.from(array.data, "base64");
  const read = {
    float64: (i) => bytes.readDoubleLE(8 * i),
    int64: (i) => Number(bytes.readBigInt64LE(8 * i)),
  }[array.dtype];
  if (!read) throw new Unsupported(`this example has no ${array.dtype}`);
  const values = [];
  const walk = (axis, at) => {
    if (axis === array.shape.length) values.push(read(at));
    else for (let i = 0; i < array.shape[axis]; i++) walk(axis + 1, at + i * array.strides[axis]);
  };
  if (array.shape.every((extent) => extent > 0)) walk(0, array.offset);
  return { shape: array.shape, values };
}

/** Writes a float64 array. */
function encode(values, shape) {
  const bytes = Buffer.alloc(8 * values.length);
  values.forEach((value, i) => bytes.writeDoubleLE(value, 8 * i));
  return { dtype: "float64", shape, data: bytes.toString("base64") };
}

function forward(call, arrays) {
  const { reduction = "mean", ignore_index: ignored = -100, ...others } = call.arguments;
  for (const name of Object.keys(others)) throw new Unsupported(`this example has no ${name}`);
  if ("weight" in arrays) throw new Unsupported("this example has no weight");
  if (!["none", "mean", "sum"].includes(reduction)) throw new RangeError(`reduction ${reduction}`);
  const input = decode(arrays.input);
  if (arrays.target.dtype !== "int64") throw new Unsupported("this example takes int64 indices");
  const target = decode(arrays.target);
  const batched = input.shape.length > 1;
  const [count, classes, ...rest] = batched ? input.shape : [1, ...input.shape];
  if (rest.length) throw new Unsupported("this example has no axes after the classes");
  if (target.shape.join() !== (batched ? `${count}` : "")) {
    throw new TypeError(`target of shape (${target.shape}) for input of shape (${input.shape})`);
  }
  const losses = [];
  const gradient = [];
  target.values.forEach((y, n) => {
    if (y !== ignored && !(y >= 0 && y < classes)) throw new RangeError(`target ${y}`);
    const row = input.values.slice(n * classes, (n + 1) * classes);
    const top = row.reduce((a, b) => (a > b || a !== a ? a : b));
    const shifted = row.map((x) => x - top);
    const total = shifted.reduce((sum, x) => sum + Math.exp(x), 0);
    const counts = y !== ignored;
    losses.push(counts ? Math.log(total) - shifted[y] : 0);
    shifted.forEach((x, c) => gradient.push(counts ? Math.exp(x) / total - (c === y) : 0));
  });
  const kept = target.values.filter((y) => y !== ignored).length;
  const divisor = reduction === "mean" ? kept : 1;
  const sum = losses.reduce((a, b) => a + b, 0) / divisor;
  const loss = reduction === "none" ? encode(losses, target.shape) : encode([sum], []);
  return { loss, gradient, divisor, classes, reduction, shape: input.shape };
}

function backward(state, gradOutput) {
  const { gradient, divisor, classes, reduction, shape } = state;
  const seed = gradOutput === null ? [1] : decode(gradOutput).values;
  const scale = (i) => seed[reduction === "none" ? Math.floor(i / classes) : 0] / divisor;
  // An ignored sample's gradient is zero whatever it is scaled by.
  return { input: encode(gradient.map((g, i) => (g === 0 ? 0 : g * scale(i))), shape) };
}

function take(step, message, states) {
  try {
    if (step.do === "forward") {
      const arrays = Object.fromEntries(
        Object.entries(step.arrays).map(([argument, name]) => [argument, message.arrays[name]]),
      );
      states[step.as] = forward(message, arrays);
      return { outcome: "ok", arrays: { loss: states[step.as].loss } };
    }
    if (!(step.of in states)) return { outcome: "skipped" };
    const gradOutput = step.grad_output === null ? null : message.arrays[step.grad_output];
    return { outcome: "ok", arrays: backward(states[step.of], gradOutput) };
  } catch (error) {
    if (error instanceof Unsupported) return { outcome: "unsupported", reason: error.message };
    return { outcome: "raised", type: error.name, message: error.message };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  if (message.op === "quit") break;
  const reply =
    message.op === "hello"
      ? { protocol: 1, name: "example", systems: [SYSTEM], versions: { node: process.versions.node } }
      : {
          case: message.case,
          steps: ((states) => message.steps.map((step) => take(step, message, states)))({}),
          modified: [], // decode() copies, so nothing here can write to the caller's arrays
        };
  process.stdout.write(JSON.stringify(reply) + "\n");
}
