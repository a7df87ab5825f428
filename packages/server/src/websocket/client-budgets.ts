import { Budget, PeerBudget, type PeerLimits } from '@backhaul/protocol';

/** So often a client may be disconnected for abuse and come back at once. */
const FORGIVEN = 3;
/** After that it is kept away for so long, and for as long again each time. */
const KEPT_AWAY_SECONDS = 30;
/** By then every debt is paid. */
const FORGET_AFTER_MS = 10 * 60_000;

const CLOCKS = {
  /** On a busy machine time passes in which this thread does not run; no agent has to pay for that. */
  cpuMs: () => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  },
};

/** What one client has left to cost. There are as many as agents, so what few of them need is made late. */
class Account {
  readonly clientId: string;
  readonly budget: PeerBudget;
  connections = 0;
  forgetting: NodeJS.Timeout | undefined;
  #abuses: Budget | undefined;

  constructor(clientId: string, limits: PeerLimits) {
    this.clientId = clientId;
    this.budget = new PeerBudget(limits, CLOCKS);
  }

  /** It is being disconnected because it broke the protocol too often. */
  abused(): void {
    this.#abuses ??= new Budget({ perSecond: 1 / KEPT_AWAY_SECONDS, burst: FORGIVEN });
    this.#abuses.spend(1);
  }

  /** How long the client is still kept away, because it was disconnected for abuse too often; milliseconds. */
  get keptAwayMs(): number {
    return this.#abuses?.debtMs ?? 0;
  }
}

export type ClientAccount = Account;

/** The accounts of all clients. Kept over their connections, so that connecting again pays no debt off. */
export class ClientBudgets {
  readonly #limits: PeerLimits;
  readonly #accounts = new Map<string, Account>();

  constructor(limits: PeerLimits) {
    this.#limits = limits;
  }

  /** How long the client is still kept away; milliseconds. */
  keptAwayMs(clientId: string): number {
    return this.#accounts.get(clientId)?.keptAwayMs ?? 0;
  }

  /** For one connection, from its beginning to its end. */
  open(clientId: string): ClientAccount {
    const account = this.#accounts.get(clientId) ?? new Account(clientId, this.#limits);
    this.#accounts.set(clientId, account);
    account.connections += 1;
    clearTimeout(account.forgetting);
    return account;
  }

  /** One of the connections that `open` was called for has ended. */
  close(account: ClientAccount): void {
    account.connections -= 1;
    if (account.connections > 0) return;
    const forget = () => this.#accounts.delete(account.clientId);
    account.forgetting = setTimeout(forget, FORGET_AFTER_MS).unref();
  }
}
