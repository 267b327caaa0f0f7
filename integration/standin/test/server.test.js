import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';

const directory = new URL('..', import.meta.url);
const run = (...args) => spawnSync(process.execPath, ['server.js', ...args], { cwd: directory, encoding: 'utf8' });

test('--help', () => {
  const { status, stdout, stderr } = run('--help');
  assert.equal(status, 0);
  assert.match(stdout, /^usage: /);
  assert.equal(stderr, '');
});

test('a wrong option', () => {
  const { status, stderr } = run('--wrong');
  assert.equal(status, 2);
  assert.match(stderr, /--wrong[^]*usage: /);
});

test('a port that is in use', async () => {
  const other = createServer().listen(0);
  await once(other, 'listening');
  const { port } = other.address();
  const { status, stderr } = run('--port', String(port));
  other.close();
  assert.equal(status, 1);
  assert.equal(stderr, `port ${port} is in use; choose another with --port\n`);
});

test('npm start ends with the process that was started', { skip: process.platform === 'win32' }, async () => {
  const npm = spawn('npm', ['start', '--', '--port', '0'], { cwd: directory, stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = once(npm, 'exit');
  const closed = once(npm.stdout, 'close');
  await new Promise((resolve) => {
    npm.stdout.on('data', (text) => String(text).includes('UseDevelopmentEmulator') && resolve());
  });
  npm.kill();
  await ended;
  await closed; // once nobody is left to write to it
});
