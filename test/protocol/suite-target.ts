import { randomBytes } from 'node:crypto';
import { TOKEN_ISSUER, tokenKinds } from '@backhaul/protocol';
import { SignJWT } from 'jose';
import { Stage } from '../harness/stage.ts';
import { TokenSigner } from '../harness/tokens.ts';
import { Operator } from './operator.ts';
import { SuiteClient } from './suite-client.ts';

/** Tokens that a server must refuse; undefined if the environment has none. */
interface RefusedTokens {
  readonly expired: string | undefined;
  readonly foreign: string | undefined;
  readonly otherAudience: string | undefined;
}

/** Address and tokens of the server under test, which may be any program. */
export interface SuiteTarget extends AsyncDisposable {
  /** E.g. `http://127.0.0.1:8080`. */
  readonly url: string;
  /** URL of the WebSocket. */
  readonly connectUrl: string;
  readonly operator: Operator;
  readonly operatorToken: string;
  readonly refused: RefusedTokens;
  readonly hasTwoClients: boolean;
  /** Returns a client for one test; with few tokens, tests wait here for each other. */
  lend(): Promise<SuiteClient>;
  /** @throws Error unless `hasTwoClients`. */
  lendTwo(): Promise<TwoClients>;
}

interface TwoClients extends AsyncDisposable {
  readonly one: SuiteClient;
  readonly two: SuiteClient;
}

/** Returns the server that `BACKHAUL_SUITE_URL` names; without it, starts one. */
export async function suiteTarget(): Promise<SuiteTarget> {
  const url = optional('BACKHAUL_SUITE_URL');
  return url === undefined ? await ownTarget() : givenTarget(url.replace(/\/+$/, ''));
}

/** @param env Settings of the server. */
export async function ownTarget(env: Readonly<Record<string, string>> = {}): Promise<SuiteTarget> {
  const stage = await Stage.start({ env });
  const { url, tokens, operatorToken } = stage;
  const operator = new Operator(url, operatorToken);
  const connectUrl = connectUrlOf(url);
  const lend = async (): Promise<SuiteClient> => {
    const clientId = `suite-${randomBytes(5).toString('hex')}`;
    return new SuiteClient({ clientId, token: await tokens.agent(clientId), operator, connectUrl });
  };
  return {
    url,
    connectUrl,
    operator,
    operatorToken,
    hasTwoClients: true,
    refused: {
      expired: await tokens.sign('agent', {
        subject: 'suite',
        expiresAt: Math.floor(Date.now() / 1000) - 3600,
      }),
      foreign: await new TokenSigner('another secret that is just as long, and wrong').agent('suite'),
      otherAudience: await new SignJWT()
        .setProtectedHeader({ alg: 'HS256', typ: tokenKinds.agent.type })
        .setIssuer(TOKEN_ISSUER)
        .setAudience('another-service')
        .setSubject('suite')
        .setIssuedAt()
        .setExpirationTime('1h')
        .sign(new TextEncoder().encode(tokens.secret)),
    },
    lend,
    lendTwo: async () => pairOf(await lend(), await lend()),
    [Symbol.asyncDispose]: () => stage[Symbol.asyncDispose](),
  };
}

function givenTarget(url: string): SuiteTarget {
  const operatorToken = required('BACKHAUL_SUITE_OPERATOR_TOKEN');
  const operator = new Operator(url, operatorToken);
  const connectUrl = connectUrlOf(url);
  const first = required('BACKHAUL_SUITE_AGENT_TOKEN');
  const second = optional('BACKHAUL_SUITE_SECOND_AGENT_TOKEN');
  const client = (token: string, release = (): void => undefined): SuiteClient =>
    new SuiteClient({ clientId: subjectOf(token), token, operator, connectUrl, release });
  let free: Promise<void> = Promise.resolve();
  /** Two tests with one `client_id` would take over each other's connection. */
  const turn = async (): Promise<() => void> => {
    const before = free;
    const { promise, resolve } = Promise.withResolvers<void>();
    free = promise;
    await before;
    return resolve;
  };
  return {
    url,
    connectUrl,
    operator,
    operatorToken,
    hasTwoClients: second !== undefined,
    refused: {
      expired: optional('BACKHAUL_SUITE_EXPIRED_TOKEN'),
      foreign: optional('BACKHAUL_SUITE_FOREIGN_TOKEN'),
      otherAudience: undefined,
    },
    lend: async () => client(first, await turn()),
    async lendTwo() {
      if (second === undefined) throw new Error('BACKHAUL_SUITE_SECOND_AGENT_TOKEN is not set');
      return pairOf(client(first, await turn()), client(second));
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function pairOf(one: SuiteClient, two: SuiteClient): TwoClients {
  const both = new AsyncDisposableStack();
  // Disposal is in reverse: the client that other tests wait for is released last.
  both.use(one);
  both.use(two);
  return { one, two, [Symbol.asyncDispose]: () => both.disposeAsync() };
}

function connectUrlOf(url: string): string {
  return `${url.replace(/^http/, 'ws')}/ws/connect`;
}

function subjectOf(token: string): string {
  const payload = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
    sub?: unknown;
  };
  if (typeof payload.sub !== 'string') throw new Error('BACKHAUL_SUITE_AGENT_TOKEN has no subject');
  return payload.sub;
}

function optional(name: string): string | undefined {
  const value = process.env[name];
  return value === undefined || value === '' ? undefined : value;
}

function required(name: string): string {
  const value = optional(name);
  if (value === undefined) throw new Error(`BACKHAUL_SUITE_URL is set, so ${name} has to be, too.`);
  return value;
}
