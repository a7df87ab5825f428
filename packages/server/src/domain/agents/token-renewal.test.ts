import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { closeCodes, TOKEN_RENEWAL_CAPABILITY } from '@backhaul/protocol';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainFixture } from '../../../../../test/harness/server/domain-fixture.ts';
import { type FakeAgent, sampleToken, sayHello } from '../../../../../test/doubles/fake-agent.ts';
import type { FakeClock } from '../../../../../test/doubles/fake-clock.ts';
import { intercepted } from '../../../../../test/doubles/intercepted.ts';
import { type Store, StoreError } from '../ports/store.ts';
import { endSession } from './handlers/hello.ts';
import type { SessionToken } from './session.ts';
import type { SignToken } from './token-renewal.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const LIFE_MS = 30 * DAY_MS;
const CLIENT = 'client-1';
const keeps = { capabilities: [TOKEN_RENEWAL_CAPABILITY] };

/** The token is its own content: signatures are tested elsewhere. */
const signToken: SignToken = async ({ tokenId, issuedAt, expiresAt }, claims) =>
  JSON.stringify({ id: tokenId, issuedAt, expiresAt, isOfPreviousSecret: false, claims });

/** Like a token that `backhaul token agent` creates now. */
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

/** A server on this database; a second one with the same store is the same server after a restart. */
function serverOn(store: Store, clock?: FakeClock): DomainFixture {
  return new DomainFixture(store, { signToken, ...(clock !== undefined && { clock }) });
}

async function openFixture(): Promise<DomainFixture> {
  return serverOn(await openSqliteStore(':memory:'));
}

/** Connects as the gateway and the first message do. @throws BackhaulError if the upgrade is refused. */
async function connect(fixture: DomainFixture, token: SessionToken): Promise<FakeAgent> {
  await fixture.context.renewal.mustNotBeReplaced(CLIENT, token.id);
  return await fixture.connect(CLIENT, { ...keeps, token });
}

async function leave(fixture: DomainFixture, agent: FakeAgent): Promise<void> {
  await endSession(fixture.context, agent.session);
}

/** The token that the agent is sent in the next round. */
async function offered(fixture: DomainFixture, agent: FakeAgent): Promise<SessionToken | undefined> {
  const before = agent.connection.sent('renew_token').length;
  await fixture.context.renewal.renewDue();
  const [frame] = agent.connection.sent('renew_token').slice(before);
  return frame === undefined ? undefined : (JSON.parse(frame.token) as SessionToken);
}

/** A token that is due, and its renewed token, which the agent has not used yet. */
async function renewed(
  fixture: DomainFixture,
  given = operatorToken(fixture.clock),
): Promise<{ given: SessionToken; next: SessionToken }> {
  const agent = await connect(fixture, given);
  fixture.clock.advance((LIFE_MS * 2) / 3);
  const next = await offered(fixture, agent);
  assert.ok(next !== undefined, 'it is due');
  await leave(fixture, agent);
  return { given, next };
}

const isReplaced = { code: 'unauthorized', reason: 'token_replaced' };
const STOPPED =
  'a replaced token was used; tokens of this client are not renewed until an operator issues a new one';

describe('a token', () => {
  test('is renewed after two thirds of its lifetime, with the same claims and lifetime', async () => {
    await using fixture = await openFixture();
    const given = operatorToken(fixture.clock, 'given-1', { claims: { sub: CLIENT, site: 'berlin' } });
    const agent = await connect(fixture, given);
    fixture.clock.advance((LIFE_MS * 2) / 3 - MINUTE_MS);
    assert.equal(await offered(fixture, agent), undefined, 'not before');
    fixture.clock.advance(MINUTE_MS);
    const next = await offered(fixture, agent);
    assert.ok(next !== undefined);
    assert.deepEqual(next.claims, given.claims);
    assert.equal(next.expiresAt - next.issuedAt, LIFE_MS);
    assert.ok(next.issuedAt <= fixture.clock.now() && next.issuedAt > given.issuedAt);
    assert.notEqual(next.id, given.id);
  });

  test('of the previous secret is renewed immediately, with a later time even if it was just issued', async () => {
    await using fixture = await openFixture();
    const given = operatorToken(fixture.clock, 'given-1', { isOfPreviousSecret: true });
    const agent = await connect(fixture, given);
    const next = await offered(fixture, agent);
    assert.ok(next !== undefined && next.issuedAt > given.issuedAt);
  });

  test('is renewed only for an agent that can store it', async () => {
    await using fixture = await openFixture();
    const token = operatorToken(fixture.clock, 'given-1', { isOfPreviousSecret: true });
    const { connection } = await fixture.connect(CLIENT, { token });
    await fixture.context.renewal.renewDue();
    assert.deepEqual(connection.sent('renew_token'), []);
  });

  test('is not renewed if renewal is off', async () => {
    await using fixture = new DomainFixture(await openSqliteStore(':memory:'));
    const agent = await connect(
      fixture,
      operatorToken(fixture.clock, 'given-1', { isOfPreviousSecret: true }),
    );
    assert.equal(await offered(fixture, agent), undefined);
  });

  test('of a blocked client is not renewed', async () => {
    await using fixture = await openFixture();
    const agent = await connect(
      fixture,
      operatorToken(fixture.clock, 'given-1', { isOfPreviousSecret: true }),
    );
    const block = { blockedAt: fixture.clock.now(), blockedBy: 'operator-1', reason: null };
    const { clientId } = agent.session;
    const audit = {
      at: 0,
      actor: 'operator-1',
      action: 'client.block',
      clientId,
      uploadId: null,
      detail: {},
    };
    await fixture.store.blockClient(clientId, block, audit);
    assert.equal(await offered(fixture, agent), undefined);
  });

  test('is renewed in rounds of the sweeper, but not by a changed clock', async () => {
    await using fixture = await openFixture();
    await fixture.sweep();
    const agent = await connect(fixture, operatorToken(fixture.clock));
    fixture.clock.jump((LIFE_MS * 2) / 3);
    await fixture.sweep();
    assert.deepEqual(agent.connection.sent('renew_token'), [], 'it would be from the future');
    fixture.clock.advance(DAY_MS);
    await fixture.sweep();
    assert.equal(agent.connection.sent('renew_token').length, 1, 'the clock has been steady for a day');
  });
});

describe('a sent renewed token', () => {
  test('is sent again until it is stored, less and less often and a few times at most', async () => {
    await using fixture = await openFixture();
    const agent = await connect(
      fixture,
      operatorToken(fixture.clock, 'given-1', { isOfPreviousSecret: true }),
    );
    const first = await offered(fixture, agent);
    assert.equal(await offered(fixture, agent), undefined, 'not immediately');
    const gaps: number[] = [];
    let since = 0;
    for (let minutes = 0; minutes < 24 * 60; minutes += 1) {
      fixture.clock.advance(MINUTE_MS);
      since += 1;
      const again = await offered(fixture, agent);
      if (again === undefined) continue;
      assert.deepEqual(again, first, 'the same one each time');
      gaps.push(since);
      since = 0;
    }
    assert.deepEqual(gaps, [1, 2, 4, 8, 16]);
    assert.deepEqual(fixture.renewals, [...Array.from({ length: 6 }, () => 'offered'), 'given_up']);
  });

  test('is not sent again once it is stored, and then determines the displayed expiry', async () => {
    await using fixture = await openFixture();
    const given = operatorToken(fixture.clock, 'given-1', { isOfPreviousSecret: true });
    const agent = await connect(fixture, given);
    const { renewal } = fixture.context;
    const next = await offered(fixture, agent);
    const [frame] = agent.connection.sent('renew_token');
    assert.ok(next !== undefined && frame !== undefined);
    const madeUp = '019ab3c2-5f00-7000-8000-000000000009';
    await renewal.stored(agent.session, { status: 'token_stored', renewal_id: madeUp });
    assert.equal((await fixture.store.getClient(CLIENT))?.tokenExpiresAt, given.expiresAt);
    assert.equal(renewal.nextToken(agent.session).isOfPreviousSecret, true);
    for (let times = 0; times < 2; times += 1) {
      await renewal.stored(agent.session, { status: 'token_stored', renewal_id: frame.renewal_id });
    }
    assert.equal((await fixture.store.getClient(CLIENT))?.tokenExpiresAt, next.expiresAt);
    const { issuedAt, expiresAt, isOfPreviousSecret } = renewal.nextToken(agent.session);
    assert.deepEqual([issuedAt, expiresAt, isOfPreviousSecret], [next.issuedAt, next.expiresAt, false]);
    fixture.clock.advance(DAY_MS);
    assert.equal(await offered(fixture, agent), undefined);
    assert.deepEqual(fixture.renewals, ['offered', 'stored']);
  });

  test('has its end shown also if the database was away when its agent had stored it', async () => {
    await using sqlite = await openFixture();
    let failures = 1;
    const store = intercepted(sqlite.store, {
      setTokenExpiry: async (...session) => {
        if (failures-- > 0) throw new StoreError('away');
        await sqlite.store.setTokenExpiry(...session);
      },
    });
    await using fixture = serverOn(store, sqlite.clock);
    const agent = await connect(
      fixture,
      operatorToken(fixture.clock, 'given-1', { isOfPreviousSecret: true }),
    );
    const next = await offered(fixture, agent);
    const [frame] = agent.connection.sent('renew_token');
    assert.ok(next !== undefined && frame !== undefined);
    const { renewal_id } = frame;
    const report = () =>
      fixture.context.renewal.stored(agent.session, { status: 'token_stored', renewal_id });
    await assert.rejects(report(), StoreError);
    await report();
    assert.equal((await fixture.store.getClient(CLIENT))?.tokenExpiresAt, next.expiresAt);
    assert.deepEqual(fixture.renewals, ['offered', 'stored']);
  });

  test('is the same after a server restart, as long as it is unused', async () => {
    await using fixture = await openFixture();
    const { given, next } = await renewed(fixture);
    await using restarted = serverOn(fixture.store, fixture.clock);
    const agent = await connect(restarted, given);
    assert.deepEqual(await offered(restarted, agent), next);
  });

  test('leaves the previous token valid until its own first session', async () => {
    await using fixture = await openFixture();
    const { given, next } = await renewed(fixture);
    await leave(fixture, await connect(fixture, given));
    const agent = await connect(fixture, next);
    await assert.rejects(connect(fixture, given), isReplaced);
    assert.equal(agent.connection.closes.length, 0);
    await leave(fixture, agent);
    await leave(fixture, await connect(fixture, next));
  });

  test('replaces nothing if its session fails to start', async () => {
    await using fixture = await openFixture();
    const { given, next } = await renewed(fixture);
    const unwritable = { ...unused, capabilities: [1n as unknown as string] };
    const session = {
      clientId: CLIENT,
      sessionId: 's',
      nodeId: 'n',
      at: fixture.clock.now(),
      remoteAddress: null,
    };
    const starting = fixture.store.openSession({ ...session, token: next, description: unwritable });
    await assert.rejects(starting, TypeError, 'after the tokens were written');
    await leave(fixture, await connect(fixture, given));
    await leave(fixture, await connect(fixture, next));
  });

  test('is renewed in turn, and its further sessions do not replace it', async () => {
    await using fixture = await openFixture();
    const { given, next } = await renewed(fixture);
    await leave(fixture, await connect(fixture, next));
    const { next: third } = await renewed(fixture, next);
    await leave(fixture, await connect(fixture, next));
    await leave(fixture, await connect(fixture, third));
    await assert.rejects(connect(fixture, next), isReplaced);
    await assert.rejects(connect(fixture, given), isReplaced);
  });

  test('that was never used is replaced together with its successor', async () => {
    await using fixture = await openFixture();
    const given = operatorToken(fixture.clock, 'given-1', { isOfPreviousSecret: true });
    const early = await connect(fixture, given);
    const sibling = await offered(fixture, early);
    await leave(fixture, early);
    fixture.clock.advance((LIFE_MS * 2) / 3 + MINUTE_MS);
    const late = await connect(fixture, given);
    const next = await offered(fixture, late);
    await leave(fixture, late);
    assert.ok(sibling !== undefined && next !== undefined);
    assert.ok(next.issuedAt > sibling.issuedAt, 'the first is itself due by now');
    await leave(fixture, await connect(fixture, next));
    await assert.rejects(connect(fixture, sibling), isReplaced);
    await assert.rejects(connect(fixture, given), isReplaced);
  });
});

describe('a replaced token', () => {
  test('that passed the upgrade before it was replaced gets no session', async () => {
    await using fixture = await openFixture();
    const { given, next } = await renewed(fixture);
    await fixture.context.renewal.mustNotBeReplaced(CLIENT, given.id);
    const agent = await connect(fixture, next);
    const { session, connection } = await sayHello(fixture.context, CLIENT, { ...keeps, token: given });
    assert.equal(session, undefined);
    assert.deepEqual(
      connection.closes.map(({ code }) => code),
      [closeCodes.tokenExpired],
    );
    assert.deepEqual(agent.connection.closes, [], 'the other one stays');
    assert.equal(fixture.context.sessions.get(CLIENT), agent.session);
  });

  test('is refused on every use, logged once, and stops the renewal for this client', async () => {
    await using fixture = await openFixture();
    const { given, next } = await renewed(fixture);
    const agent = await connect(fixture, next);
    for (let times = 0; times < 3; times += 1) await assert.rejects(connect(fixture, given), isReplaced);
    const lines = fixture.log.entries.filter(({ message }) => message === STOPPED);
    assert.equal(lines.length, 1);
    assert.equal(agent.connection.closes.length, 0, 'the rightful owner is unknown');
    fixture.clock.advance((LIFE_MS * 2) / 3);
    assert.equal(await offered(fixture, agent), undefined);
    await using restarted = serverOn(fixture.store, fixture.clock);
    assert.equal(await offered(restarted, await connect(restarted, next)), undefined, 'also after a restart');
  });

  test('reveals that a thief has renewed a copy, and the thief’s token is not renewed again', async () => {
    await using fixture = await openFixture();
    const { given, next: stolen } = await renewed(fixture);
    const thief = await connect(fixture, stolen);
    await assert.rejects(connect(fixture, given), isReplaced, 'the agent reconnects');
    assert.ok(fixture.log.has(STOPPED));
    fixture.clock.advance((LIFE_MS * 2) / 3);
    assert.equal(await offered(fixture, thief), undefined);
  });

  test('stays replaced while renewal is off', async () => {
    await using fixture = await openFixture();
    const { given, next } = await renewed(fixture);
    await leave(fixture, await connect(fixture, next));
    await using off = new DomainFixture(fixture.store, { clock: fixture.clock });
    await assert.rejects(connect(off, given), isReplaced);
  });
});

describe('after renewal was stopped, an operator’s token', () => {
  async function stopped(fixture: DomainFixture): Promise<{ given: SessionToken; next: SessionToken }> {
    const tokens = await renewed(fixture);
    await leave(fixture, await connect(fixture, tokens.next));
    await assert.rejects(connect(fixture, tokens.given), isReplaced);
    return tokens;
  }

  test('that is later is renewed again, and replaces the rest of the chain', async () => {
    await using fixture = await openFixture();
    const { next } = await stopped(fixture);
    await leave(fixture, await connect(fixture, next));
    const later = operatorToken(fixture.clock, 'given-2');
    const { next: resumed } = await renewed(fixture, later);
    await assert.rejects(connect(fixture, next), isReplaced, 'a thief may have it');
    await assert.rejects(connect(fixture, next), isReplaced);
    await leave(fixture, await connect(fixture, resumed));
    assert.equal(
      fixture.log.entries.filter(({ message }) => message === STOPPED).length,
      1,
      'use of the old tokens stops nothing a second time',
    );
  });

  test('from before is accepted but not renewed', async () => {
    await using fixture = await openFixture();
    const earlier = operatorToken(fixture.clock, 'given-0', { expiresAt: fixture.clock.now() + 2 * LIFE_MS });
    await stopped(fixture);
    const agent = await connect(fixture, earlier);
    fixture.clock.advance(LIFE_MS);
    assert.equal(await offered(fixture, agent), undefined);
  });
});

describe('an operator’s later token', () => {
  test('ends the renewal of a copy that was renewed before, and is renewed itself', async () => {
    await using fixture = await openFixture();
    const { next: stolen } = await renewed(fixture);
    await leave(fixture, await connect(fixture, stolen));
    const later = operatorToken(fixture.clock, 'given-2');
    await leave(fixture, await connect(fixture, later));
    const thief = await connect(fixture, stolen);
    fixture.clock.advance((LIFE_MS * 2) / 3);
    assert.equal(await offered(fixture, thief), undefined);
    await leave(fixture, thief);
    assert.ok(await offered(fixture, await connect(fixture, later)));
  });

  test('also of a copy whose renewal began while it was in use', async () => {
    await using fixture = await openFixture();
    const given = operatorToken(fixture.clock);
    fixture.clock.advance(DAY_MS);
    const later = operatorToken(fixture.clock, 'given-2');
    await leave(fixture, await connect(fixture, later));
    const { next: stolen } = await renewed(fixture, given);
    await leave(fixture, await connect(fixture, stolen));
    const agent = await connect(fixture, later);
    fixture.clock.advance(MINUTE_MS);
    assert.ok(await offered(fixture, agent), 'it is due itself');
    const thief = await connect(fixture, stolen);
    fixture.clock.advance((LIFE_MS * 2) / 3);
    assert.equal(await offered(fixture, thief), undefined);
  });
});

test('clocks of servers and operators may differ by a minute', async () => {
  await using fixture = await openFixture();
  const real = fixture.clock.now() + (LIFE_MS * 2) / 3 - MINUTE_MS;
  const { given, next } = await renewed(fixture);
  assert.equal(fixture.clock.now(), real + MINUTE_MS, 'the server’s clock is ahead');
  assert.ok(next.issuedAt <= real, 'a server with the correct time does not reject it as from the future');
  await leave(fixture, await connect(fixture, next));
  await assert.rejects(connect(fixture, given), isReplaced);
  const later = operatorToken({ now: () => real }, 'given-2', { isOfPreviousSecret: true });
  assert.ok(
    await offered(fixture, await connect(fixture, later)),
    'an operator’s token of the same moment counts as later',
  );
});

test('token records are removed a day after their expiry, those of stopped chains a year later', async () => {
  await using fixture = await openFixture();
  const { given, next } = await renewed(fixture);
  await leave(fixture, await connect(fixture, next));
  fixture.clock.advance(given.expiresAt - fixture.clock.now() + DAY_MS);
  assert.equal(await fixture.store.removeEndedTokens(fixture.clock.now(), 10), 0);
  fixture.clock.advance(1);
  assert.equal(await fixture.store.removeEndedTokens(fixture.clock.now(), 10), 1);
  assert.notEqual(await fixture.store.getChainedToken(next.id), undefined);
  await fixture.store.stopRenewal(CLIENT, fixture.clock.now());
  const oldest = DAY_MS + 366 * DAY_MS;
  assert.equal(
    await fixture.store.removeEndedTokens(next.issuedAt + oldest, 10),
    0,
    'an earlier one may be valid',
  );
  assert.equal(await fixture.store.removeEndedTokens(next.issuedAt + oldest + 1, 10), 1);
});
