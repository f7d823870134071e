// Yjs' side of the tests: one JSON request a line on stdin, one JSON answer a line on stdout.
import { createInterface } from "node:readline";
import * as Y from "yjs";

const documents = new Map();
const base64 = (bytes) => Buffer.from(bytes).toString("base64");
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));

// A small generator with a seed, so that a case is found again.
function generator(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const PIECES = ["a", "xyz", "வணக்கம்", "😀", "👨‍👩‍👧", "e\u0301", "\u0000", "\ud83d", "𝒳𝒴 text "];
const VALUES = [null, true, -7, 2 ** 31, 2 ** 40 + 0.5, 1.1, "text 😀", [1, [2, { deep: "x" }]], { a: 1, b: { c: [] } }];

function randomText(text, random) {
  const at = random(text.length + 1);
  const long = Math.min(random(5), text.length - at);
  switch (random(5)) {
    case 0:
    case 1:
    case 2:
      return text.insert(at, PIECES[random(PIECES.length)]);
    case 3:
      // May cut a surrogate pair in two, as a careless editor does.
      return text.delete(at, long);
    default:
      return text.format(at, long, { bold: random(2) === 0 ? true : null });
  }
}

function randomMap(map, random) {
  const key = ["k", "l", "ключ", "n"][random(4)];
  const held = map.get(key);
  const kind = random(8);
  if (kind < 3) map.set(key, VALUES[random(VALUES.length)]);
  else if (kind === 3) map.delete(key);
  else if (kind === 4) map.set(key, new Y.Map([["in", VALUES[random(VALUES.length)]]]));
  else if (kind === 5) map.set(key, new Y.Array());
  else if (held instanceof Y.Map) held.set("in", VALUES[random(VALUES.length)]);
  else if (held instanceof Y.Array) held.insert(random(held.length + 1), [VALUES[random(VALUES.length)]]);
  else if (held instanceof Y.Text) randomText(held, random);
  else map.set(key, new Y.Text("nested 😀"));
}

const operations = {
  create({ client }) {
    const document = new Y.Doc();
    if (client !== undefined) document.clientID = client;
    return { document };
  },
  // Runs edits in one transaction; answers the update that it made.
  edit({ document, edits }) {
    const text = document.getText("text");
    const map = document.getMap("map");
    const updates = [];
    const listen = (update) => updates.push(update);
    document.on("update", listen);
    document.transact(() => {
      for (const [what, ...rest] of edits) {
        if (what === "insert") text.insert(...rest);
        else if (what === "delete") text.delete(...rest);
        else if (what === "set") map.set(...rest);
        else if (what === "unset") map.delete(...rest);
        else if (what === "subdocument") map.set("d", new Y.Doc());
        else if (what === "elsewhere") document.getText("body").insert(0, "x");
        else if (what === "echo") document.getText("echo:text").insert(0, rest[0]);
        else if (what === "randomText") randomText(text, generator(rest[0]));
        else if (what === "randomMap") randomMap(map, generator(rest[0]));
        else throw new Error(`no edit ${what}`);
      }
    });
    document.off("update", listen);
    return { update: base64(Y.mergeUpdates(updates.length > 0 ? updates : [new Uint8Array([0, 0])])) };
  },
  apply({ document, update }) {
    Y.applyUpdate(document, bytes(update));
    return {};
  },
  read({ document }) {
    return {
      text: document.getText("text").toString(),
      // Yjs 13 shows formatting here.
      delta: document.getText("text").toDelta(),
      map: document.getMap("map").toJSON(),
      vector: base64(Y.encodeStateVector(document)),
      state: base64(Y.encodeStateAsUpdate(document)),
      waits: document.store.pendingStructs !== null || document.store.pendingDs !== null,
    };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let answer;
  try {
    if (request.op !== "create") request.document = documents.get(request.name);
    const { document, ...rest } = operations[request.op](request);
    if (document) documents.set(request.name, document);
    answer = rest;
  } catch (error) {
    answer = { error: String(error.stack ?? error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
