// A thread of the crew that packs.
import { PACKING } from './packtasks.ts';
import { serve } from './serve.ts';

serve(PACKING);
