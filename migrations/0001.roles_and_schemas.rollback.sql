set local role booking_owner;

alter default privileges for role booking_owner grant execute on functions to public;

reset role;

do $$
begin
  if obj_description((select oid from pg_extension where extname = 'btree_gist'), 'pg_extension')
    = 'installed by pgbooking'
  then
    drop extension btree_gist;
  end if;
exception
  when dependent_objects_still_exist then
    raise notice 'extension btree_gist stays: something else uses it by now';
end
$$;

set local role booking_owner;

drop schema api;

drop schema booking;
