'use strict';
// node prebuild.js [BUILD]: puts the addon that was built, and the library beside it, where the package carries them.
const fs = require('node:fs');
const path = require('node:path');

const build = path.resolve(process.argv[2] ?? path.join(__dirname, 'build'));
const folder = path.join(__dirname, 'prebuilds', `${process.platform}-${process.arch}`);
const files = fs.readdirSync(build).filter((name) => /^(linnet\.node|liblinnet\.so\.\d+)$/.test(name));
if (files.length !== 2) {
  console.error(`prebuild: ${build} must have linnet.node and liblinnet.so.*, and has ${files.join(', ') || 'neither'}; 'npm run build' makes them`);
  process.exit(1);
}
fs.rmSync(folder, { recursive: true, force: true });
fs.mkdirSync(folder, { recursive: true });
for (const name of files) fs.copyFileSync(path.join(build, name), path.join(folder, name));
