// Checks the golden vectors with a plain float64 implementation of the formulas.
//
//     node tools/golden_consumer.mjs [FOLDER]     (by default golden/, as in the source tree)
//
// It needs Node 18 and nothing else, and shares no code with the rest of the project.  To test an
// implementation of your own, in any language, write down what `main`, `check` and `compare` do
// and call your functions where this calls `forward` and `backward`.  golden/README.md describes
// the files.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

// ---------------------------------------------------------------- reading

const SPECIAL = { NaN: NaN, Infinity: Infinity, "-Infinity": -Infinity, "-0": -0 };

/** A number of a file: JSON's own, a special one as a string, a long integer as a string. */
const number = (value) => (typeof value === "string" ? (SPECIAL[value] ?? value) : value);

const product = (sizes) => sizes.reduce((a, b) => a * b, 1);

const isFloat = (tensor) => tensor.dtype.includes("float");

function tensor({ dtype, shape, values }) {
  if (values.length !== product(shape)) throw new Error(`${values.length} values for [${shape}]`);
  return { dtype, shape, values: values.map(number) };
}

function* readVectors(folder) {
  const index = JSON.parse(readFileSync(`${folder}/vectors/index.json`, "utf8"));
  for (const [name, entry] of Object.entries(index.files)) {
    if (!/^[a-z_]+\.json$/.test(name)) throw new Error(`strange file name ${name}`);
    const content = readFileSync(`${folder}/vectors/${name}`);
    const hash = createHash("sha256").update(content).digest("hex");
    if (hash !== entry.sha256) throw new Error(`${name}: its SHA-256 is not the index's`);
    const file = JSON.parse(content.toString("utf8"));
    for (const vector of file.vectors) yield { ...vector, notes: file.notes };
  }
}

// ---------------------------------------------------------------- validation

const LINEAR = "torch.nn.LinearCrossEntropyLoss";
const ONEFLOW = "oneflow.nn.CrossEntropyLoss";
const UNIT = "unit_scaling.functional.cross_entropy";

class Refused extends Error {}

function demand(condition, message) {
  if (!condition) throw new Refused(message);
}

const sameShape = (a, b) => a.length === b.length && a.every((size, i) => size === b[i]);

/** Refuses what the pages forbid; returns the call in the layout (N, C, D) of all formulas. */
function validate(system, args, arrays) {
  const { input, target, weight, linear_weight: matrix, linear_bias: bias } = arrays;
  if (system === UNIT) {
    demand(!weight, "weight is not supported");
    for (const name of ["size_average", "reduce", "label_smoothing"]) {
      demand(!(name in args), `${name} is not supported`);
    }
  }
  let reduction = args.reduction ?? "mean";
  demand(["none", "mean", "sum"].includes(reduction), `reduction ${reduction}`);
  if ("size_average" in args || "reduce" in args) {
    // The deprecated pair overrides reduction.
    reduction = args.size_average === false ? "sum" : "mean";
    if (args.reduce === false) reduction = "none";
  }
  const epsilon = number(args.label_smoothing ?? 0);
  demand(epsilon >= 0 && epsilon <= 1, `label_smoothing ${epsilon}`); // not NaN either

  let shape = input.shape; // of the logits
  if (system === LINEAR) {
    const features = matrix.shape.at(-1);
    demand(shape.length === 1 || shape.length === 2, `input of shape [${shape}]`);
    demand(shape.at(-1) === features, `${shape.at(-1)} features, expected ${features}`);
    shape = [...shape.slice(0, -1), ...matrix.shape.slice(0, -1)];
    demand(!bias || sameShape(bias.shape, matrix.shape.slice(0, -1)), "shape of linear_bias");
    validateOptions(args.options ?? {});
  }
  demand(shape.length >= (system === ONEFLOW ? 2 : 1), `input of shape [${shape}]`);
  const [N, C, ...rest] = shape.length === 1 ? [1, shape[0]] : shape;
  const D = product(rest);

  demand(!weight || (isFloat(weight) && sameShape(weight.shape, [C])), "weight");
  const ignored = args.ignore_index ?? -100;
  const call = { system, reduction, epsilon, arrays, N, C, D, mult: args.mult ?? 1 };
  call.w = weight ? weight.values : new Array(C).fill(1);
  call.keep = new Array(N * D).fill(true);
  if (isFloat(target)) {
    demand(sameShape(target.shape, shape), `probabilities of shape [${target.shape}]`);
    call.q = target.values;
  } else {
    const samples = shape.length === 1 ? [] : [N, ...rest];
    demand(sameShape(target.shape, samples), `indices of shape [${target.shape}]`);
    const long = system === ONEFLOW || system === UNIT || target.dtype === "int64";
    demand(long, `indices of type ${target.dtype}`);
    call.y = target.values;
    call.keep = call.y.map((y) => y !== ignored);
    call.y.forEach((y, i) => demand(!call.keep[i] || (y >= 0 && y < C), `class ${y}`));
  }
  // The chunked path of the linear loss goes backward once; a K-dimensional bias has no such path.
  const chunked = args.options !== undefined && !(bias && rest.length > 0);
  call.once = chunked && !args.options.allow_retain_graph;
  return call;
}

function validateOptions(options) {
  const { batch_chunk_size: size, chunking_method: method, acc_policy: policy } = options;
  demand(size == null || size >= 1, `batch_chunk_size ${size}`);
  demand(method == null || /^(auto|aspect_ratio(:\d+)?)$/.test(method), `method ${method}`);
  const policies = ["auto", "accurate", "balanced", "compact"];
  demand(policy == null || policies.includes(policy), `acc_policy ${policy}`);
}

// ---------------------------------------------------------------- the formulas

/** Logits x[n,c,d] at (n·C + c)·D + d: the input, times mult, or what the projection makes. */
function logits({ system, arrays, N, C, D, mult }) {
  if (system !== LINEAR) return arrays.input.values.map((x) => mult * x);
  const { input, linear_weight: matrix, linear_bias: bias } = arrays;
  const F = input.shape.at(-1);
  const x = [];
  for (let n = 0; n < N; n++) {
    for (let cd = 0; cd < C * D; cd++) {
      let sum = bias ? bias.values[cd] : 0;
      for (let f = 0; f < F; f++) sum += input.values[n * F + f] * matrix.values[cd * F + f];
      x.push(sum);
    }
  }
  return x;
}

/** The loss, and what the backward pass needs. */
function forward(call) {
  const { system, reduction, epsilon, N, C, D, w, y, q, keep } = call;
  const x = logits(call);
  const at = (n, c, d) => (n * C + c) * D + d;
  const logp = new Array(N * C * D).fill(0); // log softmax(x_n)[c]
  const a = new Array(N * C * D).fill(0); // w[c]·t[n,c], t the target mixed with the uniform one
  const losses = new Array(N * D).fill(0);
  for (let n = 0; n < N; n++) {
    for (let d = 0; d < D; d++) {
      if (!keep[n * D + d]) continue; // an ignored sample is absent
      let top = -Infinity;
      for (let c = 0; c < C; c++) top = Math.max(top, x[at(n, c, d)]); // NaN stays NaN
      let sum = 0;
      for (let c = 0; c < C; c++) sum += Math.exp(x[at(n, c, d)] - top);
      let loss = 0;
      for (let c = 0; c < C; c++) {
        const i = at(n, c, d);
        const truth = q ? q[i] : Number(c === y[n * D + d]);
        logp[i] = x[i] - top - Math.log(sum);
        // The formula of class indices has one term, the target's.
        if (!q && epsilon === 0 && truth === 0) continue;
        a[i] = w[c] * ((1 - epsilon) * truth + epsilon / C);
        loss -= a[i] * logp[i];
      }
      losses[n * D + d] = loss;
    }
  }
  let denominator = N * D;
  if (y && system !== UNIT) {
    denominator = y.reduce((sum, class_, i) => sum + (keep[i] ? w[class_] : 0), 0);
  }
  const total = losses.reduce((sum, loss) => sum + loss, 0);
  const loss = { none: losses, sum: [total], mean: [total / denominator] }[reduction];
  return { ...call, logp, a, denominator, loss, at, spent: false };
}

/** Gradients of Σ g·loss by argument; `g` is null for a scalar loss's one. */
function backward(state, g) {
  const { system, reduction, epsilon, arrays, N, C, D, w, q, keep, logp, a, denominator, at } =
    state;
  if (state.spent && state.once) throw new Refused("the gradients were consumed");
  state.spent = true;
  const divisor = reduction === "mean" && system !== UNIT ? denominator : 1;
  const scale = (n, d) => (g === null ? 1 : g[reduction === "none" ? n * D + d : 0]) / divisor;
  const unit = system === UNIT ? C / Math.sqrt(C - 1) : 1;
  const dx = new Array(N * C * D).fill(0);
  const dq = new Array(N * C * D).fill(0);
  const dw = new Array(C).fill(0);
  for (let n = 0; n < N; n++) {
    for (let d = 0; d < D; d++) {
      if (!keep[n * D + d]) continue;
      let sum = 0;
      for (let c = 0; c < C; c++) sum += a[at(n, c, d)];
      for (let c = 0; c < C; c++) {
        const i = at(n, c, d);
        dx[i] = unit * scale(n, d) * (Math.exp(logp[i]) * sum - a[i]);
        if (!q) continue;
        dq[i] = -scale(n, d) * (1 - epsilon) * w[c] * logp[i];
        dw[c] -= scale(n, d) * ((1 - epsilon) * q[i] + epsilon / C) * logp[i];
      }
    }
  }
  if (system !== LINEAR) return { input: dx, target: dq, weight: dw };
  return { target: dq, weight: dw, ...projected(dx, state) };
}

function projected(dx, { arrays, N, C, D, keep }) {
  const { input, linear_weight: matrix } = arrays;
  const F = input.shape.at(-1);
  const found = {
    input: new Array(N * F).fill(0),
    linear_weight: new Array(C * D * F).fill(0),
    linear_bias: new Array(C * D).fill(0),
  };
  for (let n = 0; n < N; n++) {
    if (!keep.slice(n * D, (n + 1) * D).some(Boolean)) continue;
    for (let cd = 0; cd < C * D; cd++) {
      const gradient = dx[n * C * D + cd];
      found.linear_bias[cd] += gradient;
      for (let f = 0; f < F; f++) {
        found.input[n * F + f] += gradient * matrix.values[cd * F + f];
        found.linear_weight[cd * F + f] += gradient * input.values[n * F + f];
      }
    }
  }
  return found;
}

// ---------------------------------------------------------------- checking

/** Says how `got` departs from an expected output in all its readings; "" if it does not. */
function compare(name, got, expected) {
  const { shape, tolerance, acceptable = [] } = expected;
  const bound = (i) => (Array.isArray(tolerance) ? tolerance[i] : tolerance);
  if (got.length !== product(shape)) return `${name}: ${got.length} values for [${shape}]`;
  const agrees = (value, i) => {
    const want = number(value);
    return Number.isFinite(want) ? Math.abs(got[i] - want) <= bound(i) : Object.is(got[i], want);
  };
  if ([expected, ...acceptable].some(({ values }) => values.every(agrees))) return "";
  const i = expected.values.findIndex((value, position) => !agrees(value, position));
  return `${name}[${i}] is ${got[i]}, expected ${expected.values[i]} ± ${bound(i)}`;
}

/** Returns what an implementation does wrong on one vector. */
function check(vector) {
  const { expected } = vector;
  const arrays = Object.fromEntries(
    Object.entries(vector.inputs).map(([name, value]) => [name, tensor(value)]),
  );
  const g = vector.grad_output && tensor(vector.grad_output).values;
  let state;
  try {
    state = forward(validate(vector.system, vector.arguments, arrays));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return expected.raises || expected.may_raise ? [] : [`refused: ${error.message}`];
  }
  if (expected.raises) return ["accepted, and must be refused"];
  const wrong = [compare("loss", state.loss, expected.loss)];
  const goBackward = (from) => {
    const got = backward(from, g);
    for (const [name, output] of Object.entries(expected.gradients)) {
      wrong.push(compare(`gradient of ${name}`, got[name], output));
    }
  };
  goBackward(state);
  if (vector.calls === "again") {
    const second = forward(validate(vector.system, vector.arguments, arrays));
    wrong.push(compare("second loss", second.loss, expected.loss));
    goBackward(second);
  } else if (vector.calls === "twice") {
    try {
      goBackward(state);
      if (expected.second_backward === "raises") wrong.push("the second backward did not raise");
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (expected.second_backward === "same") wrong.push("the second backward raised");
    }
  }
  return wrong.filter(Boolean);
}

function main(folder) {
  let count = 0;
  let failed = 0;
  for (const vector of readVectors(folder)) {
    count++;
    const wrong = check(vector);
    if (!wrong.length) continue;
    failed++;
    console.log(vector.id);
    for (const line of wrong) console.log(`    ${line}`);
    for (const flag of vector.flags) console.log(`    ${flag}: ${vector.notes[flag].catches}`);
  }
  console.log(`${count - failed} of ${count} vectors agree`);
  process.exitCode = failed || !count ? 1 : 0;
}

main(process.argv[2] ?? fileURLToPath(new URL("../golden", import.meta.url)));
