export * from './tcp-fault-proxy.ts';
export type { TcpEffect } from './link-conditions.ts';
