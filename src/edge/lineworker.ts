// A thread of the crew that makes rows of lines.
import { workerData } from 'node:worker_threads';
import { performer } from './linetasks.ts';
import { serve } from './serve.ts';

serve(performer(workerData));
