-- Runs after every migration and every rollback: PostgREST reads the schema anew.
notify pgrst, 'reload schema';
