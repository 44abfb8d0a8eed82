'use strict';
// The addon: one that was built from this tree, or the prebuilt one of this system.
const path = require('node:path');

function locate() {
  const root = path.join(__dirname, '..');
  const candidates = [
    process.env.LINNET_NODE_ADDON,
    path.join(root, 'build', 'linnet.node'),
    path.join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'linnet.node'),
  ];
  for (const candidate of candidates) {
    if (!candidate) continue;
    try {
      return require.resolve(candidate);
    } catch {
      // the next one
    }
  }
  throw new Error(`linnet: there is no addon for ${process.platform}-${process.arch}; 'npm run build' makes it from the source tree`);
}

module.exports = require(locate());
