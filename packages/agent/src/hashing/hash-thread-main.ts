import { parentPort } from 'node:worker_threads';
import { serveHashRequests } from './serve-hash-requests.ts';

parentPort?.on('message', serveHashRequests);
