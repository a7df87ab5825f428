import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { CONNECT_PATH, SUBPROTOCOL } from '@backhaul/protocol';
import { UnsecuredJWT } from 'jose';
import { WebSocket } from 'ws';
import { DomainFixture } from '../../../../test/harness/server/domain-fixture.ts';
import { ClientAddresses } from '../http/client-addresses.ts';
import { UnauthenticatedConnections } from '../http/connection-limits.ts';
import { openSqliteStore } from '../store/open-sqlite-store.ts';
import { AgentGateway } from './agent-gateway.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

test('a connection retains nothing of its initial request', async () => {
  await using cleanup = new AsyncDisposableStack();
  const fixture = cleanup.use(new DomainFixture(await openSqliteStore(':memory:')));
  const unlimited = { connections: 0, unauthenticated: 0, unauthenticatedPerAddress: 0 };
  const gateway = new AgentGateway({
    context: fixture.context,
    verifyAgent: async () => ({ sub: 'client-1', iat: 0, exp: 4_000_000_000, isOfPreviousSecret: false }),
    mustNotBeBlocked: async () => {},
    connections: new UnauthenticatedConnections(unlimited, () => {}),
    addresses: new ClientAddresses([]),
    log: Object.assign(fixture.log, { child: () => fixture.log }),
    nodeId: 'node-1',
    serverVersion: '0.0.0-test',
    clientCertificate: null,
    frameLimits: { bytesPerSecond: 4_194_304, cpuMsPerSecond: 100, refusalsPerMinute: 120 },
    observeFrames: { refused: () => {}, throttled: () => {}, closedForAbuse: () => {} },
    onRefused: () => {},
  });
  const server = createServer();
  cleanup.defer(() => void server.close());
  gateway.attach(server);
  cleanup.defer(() => gateway.close());
  let request: WeakRef<IncomingMessage> | undefined;
  server.once('upgrade', (incoming: IncomingMessage) => {
    request = new WeakRef(incoming);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const agent = new WebSocket(`ws://127.0.0.1:${port}${CONNECT_PATH}`, SUBPROTOCOL, {
    headers: { authorization: `Bearer ${new UnsecuredJWT({ sub: 'client-1' }).encode()}` },
  });
  cleanup.defer(() => agent.terminate());
  await once(agent, 'open');
  for (let round = 0; round < 10 && request?.deref() !== undefined; round += 1) {
    await nextTurn();
    collectGarbage();
  }
  assert.ok(request !== undefined);
  assert.equal(request.deref()?.url, undefined);
  assert.equal(agent.readyState, agent.OPEN);
});
