update booking.price_rules
set adjustment_percent = %(percent)s
where tenant_id = %(tenant_id)s and id = %(rule_id)s
