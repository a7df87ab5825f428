import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { closeCodes, TOKEN_RENEWAL_CAPABILITY } from '@backhaul/protocol';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainFixture } from '../fakes/domain-fixture.ts';
import { type FakeAgent, sampleToken, sayHello } from '../fakes/fake-agent.ts';
import type { FakeClock } from '../fakes/fake-clock.ts';
import type { Store } from '../ports/store.ts';
import type { SessionToken } from './agent-session.ts';
import { endSession } from './end-session.ts';
import type { SignToken } from './token-renewal.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const LIFE_MS = 30 * DAY_MS;
const CLIENT = 'client-1';
const keeps = { capabilities: [TOKEN_RENEWAL_CAPABILITY] };

/** A token is what it says: what signatures are worth is tested elsewhere. */
const signToken: SignToken = async ({ tokenId, issuedAt, expiresAt }, claims) =>
  JSON.stringify({ id: tokenId, issuedAt, expiresAt, isOfPreviousSecret: false, claims });

/** As `backhaul token agent` would make one now. */
function operatorToken(
  clock: Pick<FakeClock, 'now'>,
  id = 'given-1',
  fields: Partial<SessionToken> = {},
): SessionToken {
  return { ...sampleToken, id, issuedAt: clock.now(), expiresAt: clock.now() + LIFE_MS, ...fields };
}

const unused = {
  agentVersion: '1.2.3',
  platform: { os: 'linux', arch: 'x64', hostname: null },
  labels: {},
  defaultFilePath: null,
};

/** A server on this database; another one with the same store is the same server, started again. */
function serverOn(store: Store, clock?: FakeClock): DomainFixture {
  return new DomainFixture(store, { signToken, ...(clock !== undefined && { clock }) });
}

async function openBench(): Promise<DomainFixture> {
  return serverOn(await openSqliteStore(':memory:'));
}

/** As the gateway and the first message do it. @throws BackhaulError as the upgrade is refused. */
async function connect(bench: DomainFixture, token: SessionToken): Promise<FakeAgent> {
  await bench.context.renewal.mustNotBeReplaced(CLIENT, token.id);
  return await bench.connect(CLIENT, { ...keeps, token });
}

async function leave(bench: DomainFixture, agent: FakeAgent): Promise<void> {
  await endSession(bench.context, agent.session);
}

/** What the agent is sent in the next round. */
async function offered(bench: DomainFixture, agent: FakeAgent): Promise<SessionToken | undefined> {
  const before = agent.connection.sent('renew_token').length;
  await bench.context.renewal.renewDue();
  const [frame] = agent.connection.sent('renew_token').slice(before);
  return frame === undefined ? undefined : (JSON.parse(frame.token) as SessionToken);
}

/** A token that is due, and what renews it, which its agent has not used yet. */
async function renewed(
  bench: DomainFixture,
  given = operatorToken(bench.clock),
): Promise<{ given: SessionToken; next: SessionToken }> {
  const agent = await connect(bench, given);
  bench.clock.advance((LIFE_MS * 2) / 3);
  const next = await offered(bench, agent);
  assert.ok(next !== undefined, 'it is due');
  await leave(bench, agent);
  return { given, next };
}

const isReplaced = { code: 'unauthorized', reason: 'token_replaced' };
const STOPPED =
  'a replaced token was used; the tokens of this client are not renewed until it has a new one of an operator';

describe('a token', () => {
  test('is renewed once two thirds of its life have passed, by one of the same claims and the same life', async () => {
    await using bench = await openBench();
    const given = operatorToken(bench.clock, 'given-1', { claims: { sub: CLIENT, site: 'berlin' } });
    const agent = await connect(bench, given);
    bench.clock.advance((LIFE_MS * 2) / 3 - MINUTE_MS);
    assert.equal(await offered(bench, agent), undefined, 'not before');
    bench.clock.advance(MINUTE_MS);
    const next = await offered(bench, agent);
    assert.ok(next !== undefined);
    assert.deepEqual(next.claims, given.claims);
    assert.equal(next.expiresAt - next.issuedAt, LIFE_MS);
    assert.ok(next.issuedAt <= bench.clock.now() && next.issuedAt > given.issuedAt);
    assert.notEqual(next.id, given.id);
  });

  test('of the previous secret is renewed at once, and is the later one though it was made a moment ago', async () => {
    await using bench = await openBench();
    const given = operatorToken(bench.clock, 'given-1', { isOfPreviousSecret: true });
    const agent = await connect(bench, given);
    const next = await offered(bench, agent);
    assert.ok(next !== undefined && next.issuedAt > given.issuedAt);
  });

  test('is renewed only for an agent that can keep it', async () => {
    await using bench = await openBench();
    const token = operatorToken(bench.clock, 'given-1', { isOfPreviousSecret: true });
    const { connection } = await bench.connect(CLIENT, { token });
    await bench.context.renewal.renewDue();
    assert.deepEqual(connection.sent('renew_token'), []);
  });

  test('is not renewed where that is off', async () => {
    await using bench = new DomainFixture(await openSqliteStore(':memory:'));
    const agent = await connect(bench, operatorToken(bench.clock, 'given-1', { isOfPreviousSecret: true }));
    assert.equal(await offered(bench, agent), undefined);
  });

  test('of a blocked client is not renewed', async () => {
    await using bench = await openBench();
    const agent = await connect(bench, operatorToken(bench.clock, 'given-1', { isOfPreviousSecret: true }));
    const block = { blockedAt: bench.clock.now(), blockedBy: 'operator-1', reason: null };
    const { clientId } = agent.session;
    const audit = {
      at: 0,
      actor: 'operator-1',
      action: 'client.block',
      clientId,
      uploadId: null,
      detail: {},
    };
    await bench.store.blockClient(clientId, block, audit);
    assert.equal(await offered(bench, agent), undefined);
  });

  test('is renewed in rounds of the sweeper, but not by a clock that was set', async () => {
    await using bench = await openBench();
    await bench.sweep();
    const agent = await connect(bench, operatorToken(bench.clock));
    bench.clock.jump((LIFE_MS * 2) / 3);
    await bench.sweep();
    assert.deepEqual(agent.connection.sent('renew_token'), [], 'it would be from the future');
    bench.clock.advance(DAY_MS);
    await bench.sweep();
    assert.equal(
      agent.connection.sent('renew_token').length,
      1,
      'the clock has gone on for a day as time does',
    );
  });
});

describe('a renewed token that was handed out', () => {
  test('is repeated until it is stored, ever more rarely and a few times at most', async () => {
    await using bench = await openBench();
    const agent = await connect(bench, operatorToken(bench.clock, 'given-1', { isOfPreviousSecret: true }));
    const first = await offered(bench, agent);
    assert.equal(await offered(bench, agent), undefined, 'not at once');
    const gaps: number[] = [];
    let since = 0;
    for (let minutes = 0; minutes < 24 * 60; minutes += 1) {
      bench.clock.advance(MINUTE_MS);
      since += 1;
      const again = await offered(bench, agent);
      if (again === undefined) continue;
      assert.deepEqual(again, first, 'the same one each time');
      gaps.push(since);
      since = 0;
    }
    assert.deepEqual(gaps, [1, 2, 4, 8, 16]);
    assert.deepEqual(bench.renewals, [...Array.from({ length: 6 }, () => 'offered'), 'given_up']);
  });

  test('is not repeated once it is stored; then it is the one whose end is shown', async () => {
    await using bench = await openBench();
    const given = operatorToken(bench.clock, 'given-1', { isOfPreviousSecret: true });
    const agent = await connect(bench, given);
    const { renewal } = bench.context;
    const next = await offered(bench, agent);
    const [frame] = agent.connection.sent('renew_token');
    assert.ok(next !== undefined && frame !== undefined);
    const madeUp = '019ab3c2-5f00-7000-8000-000000000009';
    await renewal.stored(agent.session, { status: 'token_stored', renewal_id: madeUp });
    assert.equal((await bench.store.getClient(CLIENT))?.tokenExpiresAt, given.expiresAt);
    assert.equal(renewal.nextToken(agent.session).isOfPreviousSecret, true);
    for (let times = 0; times < 2; times += 1) {
      await renewal.stored(agent.session, { status: 'token_stored', renewal_id: frame.renewal_id });
    }
    assert.equal((await bench.store.getClient(CLIENT))?.tokenExpiresAt, next.expiresAt);
    const { issuedAt, expiresAt, isOfPreviousSecret } = renewal.nextToken(agent.session);
    assert.deepEqual([issuedAt, expiresAt, isOfPreviousSecret], [next.issuedAt, next.expiresAt, false]);
    bench.clock.advance(DAY_MS);
    assert.equal(await offered(bench, agent), undefined);
    assert.deepEqual(bench.renewals, ['offered', 'stored']);
  });

  test('is the same one after the server was started again, as long as it was not used', async () => {
    await using bench = await openBench();
    const { given, next } = await renewed(bench);
    await using restarted = serverOn(bench.store, bench.clock);
    const agent = await connect(restarted, given);
    assert.deepEqual(await offered(restarted, agent), next);
  });

  test('leaves the one before good until it was used, and ends it with its first session', async () => {
    await using bench = await openBench();
    const { given, next } = await renewed(bench);
    await leave(bench, await connect(bench, given));
    const agent = await connect(bench, next);
    await assert.rejects(connect(bench, given), isReplaced);
    assert.equal(agent.connection.closes.length, 0);
    await leave(bench, agent);
    await leave(bench, await connect(bench, next));
  });

  test('ends nothing by a session that did not begin', async () => {
    await using bench = await openBench();
    const { given, next } = await renewed(bench);
    const unwritable = { ...unused, capabilities: [1n as unknown as string] };
    const session = {
      clientId: CLIENT,
      sessionId: 's',
      nodeId: 'n',
      at: bench.clock.now(),
      remoteAddress: null,
    };
    const begun = bench.store.openSession({ ...session, token: next, description: unwritable });
    await assert.rejects(begun, TypeError, 'after the tokens were written');
    await leave(bench, await connect(bench, given));
    await leave(bench, await connect(bench, next));
  });

  test('is renewed in its turn, and nothing of that ends it by its next sessions', async () => {
    await using bench = await openBench();
    const { given, next } = await renewed(bench);
    await leave(bench, await connect(bench, next));
    const { next: third } = await renewed(bench, next);
    await leave(bench, await connect(bench, next));
    await leave(bench, await connect(bench, third));
    await assert.rejects(connect(bench, next), isReplaced);
    await assert.rejects(connect(bench, given), isReplaced);
  });

  test('and was never used is ended with the one that was handed out after it', async () => {
    await using bench = await openBench();
    const given = operatorToken(bench.clock, 'given-1', { isOfPreviousSecret: true });
    const early = await connect(bench, given);
    const sibling = await offered(bench, early);
    await leave(bench, early);
    bench.clock.advance((LIFE_MS * 2) / 3 + MINUTE_MS);
    const late = await connect(bench, given);
    const next = await offered(bench, late);
    await leave(bench, late);
    assert.ok(sibling !== undefined && next !== undefined);
    assert.ok(next.issuedAt > sibling.issuedAt, 'the first is itself due by now');
    await leave(bench, await connect(bench, next));
    await assert.rejects(connect(bench, sibling), isReplaced);
    await assert.rejects(connect(bench, given), isReplaced);
  });
});

describe('a replaced token', () => {
  test('that passed the upgrade before it was replaced gets no session', async () => {
    await using bench = await openBench();
    const { given, next } = await renewed(bench);
    await bench.context.renewal.mustNotBeReplaced(CLIENT, given.id);
    const agent = await connect(bench, next);
    const { session, connection } = await sayHello(bench.context, CLIENT, { ...keeps, token: given });
    assert.equal(session, undefined);
    assert.deepEqual(
      connection.closes.map(({ code }) => code),
      [closeCodes.tokenExpired],
    );
    assert.deepEqual(agent.connection.closes, [], 'the other one stays');
    assert.equal(bench.context.sessions.get(CLIENT), agent.session);
  });

  test('that is used is refused each time, logged once, and stops the renewal of this client', async () => {
    await using bench = await openBench();
    const { given, next } = await renewed(bench);
    const agent = await connect(bench, next);
    for (let times = 0; times < 3; times += 1) await assert.rejects(connect(bench, given), isReplaced);
    const lines = bench.log.entries.filter(({ message }) => message === STOPPED);
    assert.equal(lines.length, 1);
    assert.equal(agent.connection.closes.length, 0, 'who is right cannot be told');
    bench.clock.advance((LIFE_MS * 2) / 3);
    assert.equal(await offered(bench, agent), undefined);
    await using restarted = serverOn(bench.store, bench.clock);
    assert.equal(await offered(restarted, await connect(restarted, next)), undefined, 'also after a restart');
  });

  test('shows that a thief has renewed a copy, and what the thief got is renewed no more', async () => {
    await using bench = await openBench();
    const { given, next: stolen } = await renewed(bench);
    const thief = await connect(bench, stolen);
    await assert.rejects(connect(bench, given), isReplaced, 'the agent comes back');
    assert.ok(bench.log.has(STOPPED));
    bench.clock.advance((LIFE_MS * 2) / 3);
    assert.equal(await offered(bench, thief), undefined);
  });

  test('stays so while renewal is off', async () => {
    await using bench = await openBench();
    const { given, next } = await renewed(bench);
    await leave(bench, await connect(bench, next));
    await using off = new DomainFixture(bench.store, { clock: bench.clock });
    await assert.rejects(connect(off, given), isReplaced);
  });
});

describe('once renewal was stopped, an operator’s token', () => {
  async function stopped(bench: DomainFixture): Promise<{ given: SessionToken; next: SessionToken }> {
    const tokens = await renewed(bench);
    await leave(bench, await connect(bench, tokens.next));
    await assert.rejects(connect(bench, tokens.given), isReplaced);
    return tokens;
  }

  test('that is later is renewed again, and ends what is left of the chain', async () => {
    await using bench = await openBench();
    const { next } = await stopped(bench);
    await leave(bench, await connect(bench, next));
    const later = operatorToken(bench.clock, 'given-2');
    const { next: resumed } = await renewed(bench, later);
    await assert.rejects(connect(bench, next), isReplaced, 'a thief may have it');
    await assert.rejects(connect(bench, next), isReplaced);
    await leave(bench, await connect(bench, resumed));
    assert.equal(
      bench.log.entries.filter(({ message }) => message === STOPPED).length,
      1,
      'who still has the old ones stops nothing a second time',
    );
  });

  test('from before is taken, and not renewed', async () => {
    await using bench = await openBench();
    const earlier = operatorToken(bench.clock, 'given-0', { expiresAt: bench.clock.now() + 2 * LIFE_MS });
    await stopped(bench);
    const agent = await connect(bench, earlier);
    bench.clock.advance(LIFE_MS);
    assert.equal(await offered(bench, agent), undefined);
  });
});

test('clocks of servers and operators may differ by a minute', async () => {
  await using bench = await openBench();
  const real = bench.clock.now() + (LIFE_MS * 2) / 3 - MINUTE_MS;
  const { given, next } = await renewed(bench);
  assert.equal(bench.clock.now(), real + MINUTE_MS, 'the server’s clock is ahead');
  assert.ok(next.issuedAt <= real, 'a server by the real time does not take it for one from the future');
  await leave(bench, await connect(bench, next));
  await assert.rejects(connect(bench, given), isReplaced);
  const later = operatorToken({ now: () => real }, 'given-2', { isOfPreviousSecret: true });
  assert.ok(
    await offered(bench, await connect(bench, later)),
    'an operator’s token of the same moment is later',
  );
});

test('what is on record of tokens is removed a day after their end, of stopped ones a year later', async () => {
  await using bench = await openBench();
  const { given, next } = await renewed(bench);
  await leave(bench, await connect(bench, next));
  bench.clock.advance(given.expiresAt - bench.clock.now() + DAY_MS);
  assert.equal(await bench.store.removeEndedTokens(bench.clock.now(), 10), 0);
  bench.clock.advance(1);
  assert.equal(await bench.store.removeEndedTokens(bench.clock.now(), 10), 1);
  assert.notEqual(await bench.store.getChainedToken(next.id), undefined);
  await bench.store.stopRenewal(CLIENT, bench.clock.now());
  const oldest = DAY_MS + 366 * DAY_MS;
  assert.equal(
    await bench.store.removeEndedTokens(next.issuedAt + oldest, 10),
    0,
    'one from before may be good',
  );
  assert.equal(await bench.store.removeEndedTokens(next.issuedAt + oldest + 1, 10), 1);
});
