-- Who trains: reads everybody's transactions and can do nothing else. Make a login for the nightly job with
--   create role nightly_training login password '...' in role forecast_trainer;

do $$ begin
  if not exists (select from pg_roles where rolname = 'forecast_trainer') then
    create role forecast_trainer nologin;
  end if;
end $$;
grant usage on schema public to forecast_trainer;
grant select on public.transactions to forecast_trainer;
create policy "training reads all" on public.transactions for select to forecast_trainer using (true);
