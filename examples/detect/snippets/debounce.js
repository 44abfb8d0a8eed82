'use strict';

const EventEmitter = require('events');

function debounce(callback, wait = 100) {
  let timer = null;
  return function (...args) {
    clearTimeout(timer);
    timer = setTimeout(() => callback.apply(this, args), wait);
  };
}

class Watcher extends EventEmitter {
  constructor(path) {
    super();
    this.path = path;
    this.notify = debounce(() => this.emit('change', this.path));
  }
}

const watcher = new Watcher('/tmp/file');
watcher.on('change', (path) => console.log(`changed: ${path}`));
for (let i = 0; i < 5; i++) watcher.notify();

module.exports = { debounce, Watcher };
