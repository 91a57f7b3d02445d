// Compiles the project's sources, warnings as errors, with another CPython, built as WebAssembly:
//   npm install --prefix DIR pyodide@0.22.1      (0.22.1: CPython 3.10.2, 0.26.4: 3.12.1, 0.28.3: 3.13.2)
//   node .ci/syntax.mjs DIR
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";

const { loadPyodide } = createRequire(path.resolve(process.argv[2]) + "/")("pyodide");
const python = await loadPyodide();
const root = path.resolve(import.meta.dirname ?? path.dirname(process.argv[1]), "..");
const skipped = (name) => name === "__pycache__" || (name.startsWith(".") && name !== ".ci");

function sources(folder) {
  return fs.readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const file = path.join(folder, entry.name);
    if (entry.isDirectory()) return skipped(entry.name) ? [] : sources(file);
    return entry.isFile() && entry.name.endsWith(".py") ? [file] : [];
  });
}

const files = sources(root);
const code = "import warnings; warnings.simplefilter('error'); compile(source, name, 'exec')";
for (const file of files) {
  python.globals.set("name", path.relative(root, file));
  python.globals.set("source", fs.readFileSync(file, "utf8"));
  python.runPython(code); // an error names file and line, and ends this with status 1
}
const version = python.runPython("import sys; sys.version.split()[0]");
console.log(`CPython ${version} compiled ${files.length} files`);
